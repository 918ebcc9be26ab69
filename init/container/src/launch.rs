//! Bundle -> running container: one `clone3`, then mounts, `pivot_root`, rights, `execve`.
//!
//! PID 1 has one thread, so it is sound to run ordinary Rust code in the child, a `fork(2)` of PID 1 in new
//! namespaces; see [`launch`].

mod child;
mod devices;
mod exec;
mod failure;
mod identity;
mod options;
mod plan;
mod rootfs;
mod running;

pub use exec::{Exec, exec};
pub use running::{Running, Starting};

use crate::bundle::Bundle;
use crate::cgroup::{self, CgroupError};
use crate::sys::{self, Cloned};
use child::Descriptors;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use plan::{Cgroup, Plan};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// What the launching process gives a container in addition to its bundle.
#[derive(Debug, Clone, Copy, Default)]
pub struct Launch<'a> {
    /// Its descriptors 0, 1 and 2; `/dev/null` for each `None`.
    pub stdio: [Option<BorrowedFd<'a>>; 3],
    /// Its descriptors from 3 up.
    pub descriptors: &'a [BorrowedFd<'a>],
    /// Added to the arguments of its program.
    pub arguments: &'a [String],
    /// Added to its environment, each `KEY=VALUE`.
    pub environment: &'a [String],
    /// Variables set to its process id in its own pid namespace (`LISTEN_PID`, `WATCHDOG_PID`).
    pub pid_variables: &'a [&'a str],
}

/// Why a container did not start: operation, operand and cause.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// The spec asks for something unsupported, or lacks something required.
    #[error("spec: {why}")]
    Spec {
        /// What is wrong, in words.
        why: String,
    },
    /// This process has more than one thread, so a copy of it could inherit locks that are never released.
    #[error("launch: more than one thread: {source}")]
    Threads {
        /// The kernel's error.
        source: Errno,
    },
    /// Its cgroup could not be created.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The process could not be created.
    #[error("clone3 into {cgroup}: {source}")]
    Clone {
        /// The cgroup it was for.
        cgroup: PathBuf,
        /// Why.
        source: Errno,
    },
    /// The child could not become the program.
    #[error("{step}: {source}")]
    Step {
        /// Operation and operand, as in "mount tmpfs on /run".
        step: String,
        /// Why.
        source: Errno,
    },
    /// The child did not become the program in time and was killed.
    #[error("start {cgroup}: not done after {after:?}, killed")]
    Late {
        /// Its cgroup.
        cgroup: PathBuf,
        /// How long it had.
        after: Duration,
    },
    /// The child's report could not be read.
    #[error("read the report of the child: {source}")]
    Report {
        /// Why.
        source: Errno,
    },
}

/// Starts the container of `bundle` and waits until its program runs, at most for `deadline`.
///
/// The caller has one thread (this is checked), has called [`cgroup::prepare`] and has created the host's side of
/// every bind mount. It ignores no signal except `SIGPIPE` (as Rust's runtime does), and reaps the child even if this
/// fails.
///
/// # Errors
/// The first step that failed. The cgroup remains.
pub fn launch(
    bundle: &Bundle,
    options: &Launch<'_>,
    deadline: Duration,
) -> Result<Running, LaunchError> {
    start(bundle, options)?.wait(deadline)
}

/// Like [`launch`], without the wait. [`Starting`] reports whether the program runs; PID 1 can poll it while others
/// start.
///
/// # Errors
/// What the parent can see: the spec, the cgroup, `clone3`.
pub fn start(bundle: &Bundle, options: &Launch<'_>) -> Result<Starting, LaunchError> {
    let plan = Plan::of(bundle, options.arguments, options.environment)?;
    let planned = Cgroup::of(bundle)?;
    have_one_thread()?;
    let path = below(Path::new(cgroup::ROOT), planned.path);
    let group = cgroup::create_with(&path, &planned.limits)?;
    clone(&plan, options, &group, &path).map_err(|source| LaunchError::Clone {
        cgroup: path,
        source,
    })
}

/// Leaving the thread group does nothing in a single-threaded process and fails in all others (unshare(2),
/// `CLONE_THREAD`). This is the cheapest check.
fn have_one_thread() -> Result<(), LaunchError> {
    nix::sched::unshare(CloneFlags::CLONE_THREAD).map_err(|source| LaunchError::Threads { source })
}

/// `path`, which the spec may write with a leading slash, below `root`.
fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn clone(plan: &Plan, options: &Launch<'_>, group: &File, path: &Path) -> nix::Result<Starting> {
    let descriptors = Descriptors::of(options);
    let (report, reporter) = report_pipe(descriptors.end())?;
    let namespaces = u64::from(plan.namespaces.bits() as u32);
    // SAFETY: `start` has checked that this process has one thread, and none was created since.
    match unsafe { sys::clone3(namespaces, group.as_fd()) }? {
        Cloned::Parent { child, pidfd } => Ok(Starting {
            running: Running {
                pid: child,
                pidfd,
                cgroup: path.to_owned(),
            },
            report,
        }),
        Cloned::Child => {
            let failure =
                child::become_program(plan, &descriptors, options.pid_variables, reporter.as_fd());
            failure.send(&reporter);
            sys::exit_now(127)
        }
    }
}

/// A pipe whose write end is at least `lowest`, so that the child's own descriptors cannot replace it. It is
/// non-blocking, so that the parent can poll it and then read.
fn report_pipe(lowest: RawFd) -> nix::Result<(OwnedFd, OwnedFd)> {
    let (report, reporter) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((report, sys::duplicate_above(reporter.as_fd(), lowest)?))
}
