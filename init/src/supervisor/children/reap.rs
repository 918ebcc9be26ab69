//! The one place that reaps: services, and the orphans that the kernel hands to PID 1.

use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fmt;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With this status.
    Status(i32),
    /// By the signal with this number.
    Signal(i32),
}

impl Outcome {
    pub(crate) fn is_success(self) -> bool {
        self == Self::Status(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "{signal}"),
                Err(_) if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) => {
                    write!(f, "SIGRTMIN+{}", number - libc::SIGRTMIN())
                }
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// Reaps every process that has ended.
///
/// Signals merge: one SIGCHLD may stand for many children, so this goes on until none is left.
pub(crate) fn reap() -> Vec<(Pid, Outcome)> {
    let mut reaped = Vec::new();
    loop {
        match next() {
            Ok(Some(ended)) => reaped.push(ended),
            Ok(None) | Err(Errno::ECHILD) => return reaped,
            Err(Errno::EINTR) => {}
            Err(error) => {
                log::error!("reap: {error}");
                return reaped;
            }
        }
    }
}

/// The next process that has ended, if there is one. Calls `waitpid` itself: `nix` cannot represent an end by a
/// real-time signal, and reaps the process all the same.
fn next() -> Result<Option<(Pid, Outcome)>, Errno> {
    let mut status = 0;
    // SAFETY: the kernel writes one int to `status`, which outlives the call.
    let pid = Errno::result(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) })?;
    let outcome = if libc::WIFSIGNALED(status) {
        Outcome::Signal(libc::WTERMSIG(status))
    } else {
        Outcome::Status(libc::WEXITSTATUS(status))
    };
    Ok((pid > 0).then_some((Pid::from_raw(pid), outcome)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_has_a_name() {
        for (signal, want) in [
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGRTMIN(), "SIGRTMIN+0"),
            (libc::SIGRTMIN() + 3, "SIGRTMIN+3"),
            (1000, "signal 1000"),
        ] {
            assert_eq!(Outcome::Signal(signal).to_string(), want);
        }
    }
}
