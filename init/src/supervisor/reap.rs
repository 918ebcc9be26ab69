//! The one place that reaps: services and whatever orphans the kernel hands to PID 1.

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use std::fmt;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(nix::sys::signal::Signal),
}

impl Outcome {
    pub(crate) fn is_success(self) -> bool {
        self == Self::Status(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(signal) => write!(f, "{signal}"),
        }
    }
}

/// Reaps every process that has ended.
///
/// Signals merge: one SIGCHLD may stand for many children, so all are asked for.
pub(crate) fn reap() -> Vec<(Pid, Outcome)> {
    let mut reaped = Vec::new();
    loop {
        match waitpid(None::<Pid>, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, status)) => reaped.push((pid, Outcome::Status(status))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => reaped.push((pid, Outcome::Signal(signal))),
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return reaped,
            // A child that only stopped or went on; or a signal in between.
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => {
                log::error!("reap: {error}");
                return reaped;
            }
        }
    }
}
