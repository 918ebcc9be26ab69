//! Another program in a running container.

use super::child::{self, Descriptors};
use super::plan::Plan;
use super::{LaunchError, Running, Starting, have_one_thread, report_pipe};
use crate::bundle::Bundle;
use crate::sys::{self, Cloned};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};

/// A program for a running container.
#[derive(Debug, Clone, Copy)]
pub struct Exec<'a> {
    /// The program and its arguments. A program without a slash is searched for in the `PATH` of the environment.
    pub args: &'a [String],
    /// Its descriptors 0, 1 and 2; `/dev/null` for each `None`. If the first is a terminal that is no session's, it
    /// becomes the program's controlling terminal.
    pub stdio: [Option<BorrowedFd<'a>>; 3],
    /// Added to the environment of the service, each `KEY=VALUE`.
    pub environment: &'a [String],
}

/// A variable that only a service's own process gets.
const NOT_INHERITED: &str = "NOTIFY_SOCKET=";

/// Starts a program in `running`, a container of `bundle`, with the rights and limits of the service and no more. It
/// is a child of the caller, which reaps it. It ends with the container.
///
/// # Errors
/// The spec, the cgroup or `clone3`; [`Starting`] reports later failures.
///
/// # Panics
/// If this process cannot return to its own pid namespace. It has the right to, and the kernel does not refuse PID 1 the
/// few hundred bytes that this takes (`create_nsproxy`, kernel/nsproxy.c).
pub fn exec(
    bundle: &Bundle,
    running: &Running,
    options: &Exec<'_>,
) -> Result<Starting, LaunchError> {
    let plan = Plan::of_exec(bundle, options)?;
    have_one_thread()?;
    let failed = |source| LaunchError::Clone {
        cgroup: running.cgroup.clone(),
        source,
    };
    if !plan.namespaces.contains(CloneFlags::CLONE_NEWPID) {
        return clone(&plan, options, running).map_err(failed);
    }
    let open = File::open("/proc/self/ns/pid");
    let own = open.map_err(|error| failed(error.try_into().unwrap_or(nix::errno::Errno::EIO)))?;
    // Affects only children (setns(2)); this process stays where it is.
    setns(&running.pidfd, CloneFlags::CLONE_NEWPID).map_err(failed)?;
    let cloned = clone(&plan, options, running);
    #[expect(clippy::expect_used, reason = "see above; all else would be worse")]
    setns(own, CloneFlags::CLONE_NEWPID).expect("a process may go back to its pid namespace");
    cloned.map_err(failed)
}

fn clone(plan: &Plan, options: &Exec<'_>, running: &Running) -> nix::Result<Starting> {
    let descriptors = Descriptors::of_stdio(options.stdio);
    let (report, reporter) = report_pipe(descriptors.end())?;
    let group = File::open(&running.cgroup)
        .map_err(|error| error.try_into().unwrap_or(nix::errno::Errno::EIO))?;
    // SAFETY: `exec` has checked that this process has one thread, and none was created since.
    match unsafe { sys::clone3(0, group.as_fd()) }? {
        Cloned::Parent { child, pidfd } => Ok(Starting {
            running: Running {
                pid: child,
                pidfd,
                cgroup: running.cgroup.clone(),
            },
            report,
        }),
        Cloned::Child => {
            let failure =
                child::join_program(plan, &descriptors, running.pidfd.as_fd(), reporter.as_fd());
            failure.send(&reporter);
            sys::exit_now(127)
        }
    }
}

impl Plan {
    /// The plan of the service's own process, with another program.
    fn of_exec(bundle: &Bundle, options: &Exec<'_>) -> Result<Self, LaunchError> {
        let mut plan = Self::of(bundle, &[], options.environment)?;
        plan.argv = super::plan::c_strings(options.args.iter())?;
        let Some(program) = plan.argv.first() else {
            return Err(super::plan::invalid("no program to run".to_owned()));
        };
        plan.programs = super::plan::places(program, &plan.envp)?;
        plan.envp
            .retain(|variable| !variable.to_bytes().starts_with(NOT_INHERITED.as_bytes()));
        Ok(plan)
    }
}
