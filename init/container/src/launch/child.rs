//! The child, from `clone3` to `execve`. It decides nothing: the plan was made before.

use super::failure::{Failure, Step};
use super::identity::{Own, Users};
use super::plan::Plan;
use super::{Launch, devices, identity, rootfs};
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::CloneFlags;
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::setrlimit;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{execve, fchdir, setsid};
use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, RawFd};

/// The umask of a program that does not set its own.
const UMASK: Mode = Mode::from_bits_retain(0o022);

/// Becomes the program of a new container. Returns only on failure, with the reason.
pub(super) fn become_program(
    plan: &Plan,
    descriptors: &Descriptors<'_>,
    pid_variables: &[&str],
    reporter: BorrowedFd<'_>,
) -> Failure {
    let users = match plan.user_namespace {
        true => Users::Own,
        false => Users::Ours,
    };
    let done = hide()
        .and_then(|()| score(plan))
        .and_then(|()| make_container(plan))
        .and_then(|()| descriptors.arrange(&[reporter]))
        .and_then(|()| run(plan, users, pid_variables));
    match done {
        Err(failure) => failure,
    }
}

/// Until [`Descriptors::arrange`] this process has the parent's descriptors. The processes that see it, those of the
/// container and those that see all of the host's, must not reach them through /proc (ptrace(2)). `execve` undoes
/// this.
fn hide() -> Result<(), Failure> {
    set_dumpable(false).step("set dumpable")
}

/// Becomes a program in the container of the process of `pidfd`. Returns only on failure, with the reason.
///
/// This process is already in that process's pid namespace: only a child of the process that entered it can be.
pub(super) fn join_program(
    plan: &Plan,
    descriptors: &Descriptors<'_>,
    pidfd: BorrowedFd<'_>,
    reporter: BorrowedFd<'_>,
) -> Failure {
    let users = match plan.user_namespace {
        true => Users::Of(pidfd),
        false => Users::Ours,
    };
    let done = hide()
        .and_then(|()| score(plan))
        .and_then(|()| join_container(plan, pidfd))
        .and_then(|()| descriptors.arrange(&[reporter, pidfd]))
        .map(|()| take_terminal())
        .and_then(|()| run(plan, users, &[]));
    match done {
        Err(failure) => failure,
    }
}

fn make_container(plan: &Plan) -> Result<(), Failure> {
    setsid().step("setsid")?;
    if plan.cgroup_namespace {
        nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP).step("unshare the cgroup namespace")?;
    }
    // Files get exactly the modes that are asked for.
    umask(Mode::empty());
    rootfs::enter(plan)?;
    if plan.own_dev {
        devices::fill()?;
    }
    rootfs::close_paths(plan)?;
    rootfs::follow_links()
}

/// Joins all namespaces of a process except its user namespace at once (`setns(2)` with a pidfd, Linux 5.8).
fn join_container(plan: &Plan, pidfd: BorrowedFd<'_>) -> Result<(), Failure> {
    setsid().step("setsid")?;
    let mut namespaces = plan.namespaces - CloneFlags::CLONE_NEWPID;
    if plan.cgroup_namespace {
        namespaces |= CloneFlags::CLONE_NEWCGROUP;
    }
    nix::sched::setns(pidfd, namespaces).step("enter the container")
}

/// Makes standard input the controlling terminal: Ctrl-C interrupts the program, and a shell has job control.
fn take_terminal() {
    // It fails if standard input is not a terminal, or is another session's. The program needs neither.
    let _ = sys::set_controlling_terminal(0);
}

/// The steps common to all programs of a container, the first or another.
fn run(plan: &Plan, users: Users<'_>, pid_variables: &[&str]) -> Result<Infallible, Failure> {
    umask(UMASK);
    enter(&plan.working_directory).step_on("chdir", &plan.working_directory)?;
    identity::assume(&plan.identity, users, plan.filter.as_deref())?;
    reset_signals()?;
    limit(plan)?;
    let mut environment = plan.envp.clone();
    environment.extend(pid_variables.iter().filter_map(|name| pid_variable(name)));
    execute(plan, &environment)
}

/// Executes the first of the programs that exists, like `execvp(3)`.
fn execute(plan: &Plan, environment: &[CString]) -> Result<Infallible, Failure> {
    let mut reason = Errno::ENOENT;
    for program in &plan.programs {
        let Err(error) = execve(program, &plan.argv, environment);
        match error {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => reason = error,
            error => return Err(error).step_on("execve", program),
        }
    }
    Err(reason).step_on("execve", &plan.argv[0])
}

/// `chdir` that does not follow a magic link of `/proc`; the service may have left a symbolic link to one.
fn enter(directory: &CStr) -> nix::Result<()> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_MAGICLINKS);
    fchdir(openat2(AT_FDCWD, directory, how)?)
}

/// `NAME=PID` of this process in its own pid namespace.
fn pid_variable(name: &str) -> Option<CString> {
    CString::new(format!("{name}={}", nix::unistd::getpid())).ok()
}

/// Sets how early the OOM killer picks it. The host's /proc is used, before the container's is the only one.
fn score(plan: &Plan) -> Result<(), Failure> {
    match &plan.oom_score_adj {
        Some(score) => Own::open().and_then(|own| own.write("oom_score_adj", score)),
        None => Ok(()),
    }
}

fn limit(plan: &Plan) -> Result<(), Failure> {
    for (resource, soft, hard) in &plan.rlimits {
        setrlimit(*resource, *soft, *hard).step("setrlimit")?;
    }
    Ok(())
}

/// `clone3` has reset our handlers, but what is ignored or blocked stays so across `execve`.
fn reset_signals() -> Result<(), Failure> {
    sys::reset_signal(Signal::SIGPIPE).step("reset SIGPIPE")?;
    sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None).step("sigprocmask")
}

/// The descriptors of the program, indexed by the numbers they will have.
pub(super) struct Descriptors<'a>(Vec<Option<BorrowedFd<'a>>>);

impl<'a> Descriptors<'a> {
    pub(super) fn of(options: &Launch<'a>) -> Self {
        let extra = options.descriptors.iter().map(|fd| Some(*fd));
        Self(options.stdio.into_iter().chain(extra).collect())
    }

    pub(super) fn of_stdio(stdio: [Option<BorrowedFd<'a>>; 3]) -> Self {
        Self(stdio.to_vec())
    }

    /// The first number after theirs.
    pub(super) fn end(&self) -> RawFd {
        RawFd::try_from(self.0.len()).unwrap_or(RawFd::MAX)
    }

    /// Puts each where the program expects it, and closes all others except `kept`, which `execve` closes. A process
    /// that may trace this one finds none of the parent's descriptors in it.
    fn arrange(&self, kept: &[BorrowedFd<'_>]) -> Result<(), Failure> {
        let sources = self.out_of_the_way()?;
        for (source, number) in sources.into_iter().zip(0..) {
            sys::duplicate_to(source, number).step("dup2")?;
        }
        let mut kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
        kept.sort_unstable();
        let mut first = self.end();
        for kept in kept {
            sys::close_from_until(first, kept).step("close_range")?;
            first = first.max(kept + 1);
        }
        sys::close_from_until(first, RawFd::MAX).step("close_range")
    }

    /// The same descriptors under numbers that none of them will have.
    fn out_of_the_way(&self) -> Result<Vec<RawFd>, Failure> {
        let source = |fd: &Option<BorrowedFd<'_>>| match fd {
            Some(fd) => above(*fd, self.end()),
            None => open_null(self.end()),
        };
        self.0.iter().map(source).collect()
    }
}

/// `fd`, or a copy of it that stays open until `execve`, with a number that is at least `lowest`.
fn above(fd: BorrowedFd<'_>, lowest: RawFd) -> Result<RawFd, Failure> {
    if fd.as_raw_fd() >= lowest {
        return Ok(fd.as_raw_fd());
    }
    let copy = sys::duplicate_above(fd, lowest).step("fcntl F_DUPFD_CLOEXEC")?;
    Ok(copy.into_raw_fd())
}

fn open_null(lowest: RawFd) -> Result<RawFd, Failure> {
    let null = devices::open_null().step("open /dev/null")?;
    // Not closed here: `above` may return its number.
    above(ManuallyDrop::new(null).as_fd(), lowest)
}
