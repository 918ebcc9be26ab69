//! A container, from the start of its first process.

use super::LaunchError;
use super::failure::{MAX_REPORT, decode};
use crate::cgroup::{self, CgroupError};
use crate::sys;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A container that is or was running.
#[derive(Debug)]
pub struct Running {
    /// Its first process, as PID 1 sees it.
    pub pid: i32,
    /// The same process by a descriptor, which is readable once it has ended.
    pub pidfd: OwnedFd,
    /// The directory of its cgroup.
    pub cgroup: PathBuf,
}

impl Running {
    /// Sends `signal` to its first process.
    ///
    /// # Errors
    /// `ESRCH` once that process has ended and was reaped.
    pub fn signal(&self, signal: Signal) -> nix::Result<()> {
        sys::pidfd_send_signal(self.pidfd.as_fd(), signal as i32)
    }

    /// Kills every process in it at once, including those that are just being forked (`cgroup.kill`, Linux 5.14).
    ///
    /// # Errors
    /// If its cgroup is gone.
    pub fn kill(&self) -> Result<(), CgroupError> {
        cgroup::write(&self.cgroup.join("cgroup.kill"), "1")
    }
}

/// A container whose first process has not yet reported whether it became the program.
///
/// Its descriptor is readable once [`finish`](Self::finish) has a result.
#[derive(Debug)]
pub struct Starting {
    pub(super) running: Running,
    pub(super) report: OwnedFd,
}

impl AsFd for Starting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.report.as_fd()
    }
}

impl Starting {
    /// Its first process, as PID 1 sees it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.running.pid
    }

    /// The same process by a descriptor.
    #[must_use]
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.running.pidfd.as_fd()
    }

    /// Kills the process, whatever it is now, and its process group, which it leads once it has called `setsid`.
    ///
    /// Must not be called after it was reaped, when its number may be that of another group.
    pub fn kill(&self) {
        // Either may be gone already, which is fine.
        let _ = self.running.signal(Signal::SIGKILL);
        let _ = killpg(Pid::from_raw(self.running.pid), Signal::SIGKILL);
    }

    /// Waits until the program runs. After `deadline` the container is killed.
    ///
    /// # Errors
    /// The step that failed, or [`LaunchError::Late`].
    pub fn wait(self, deadline: Duration) -> Result<Running, LaunchError> {
        let end = Instant::now() + deadline;
        let left = || {
            let left = end.saturating_duration_since(Instant::now());
            PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
        };
        let mut fds = [PollFd::new(self.report.as_fd(), PollFlags::POLLIN)];
        // A handled signal interrupts the wait, whatever its flags are (signal(7)).
        while poll(&mut fds, left()) == Err(Errno::EINTR) {}
        self.finish(deadline)
    }

    /// The container, if the program runs.
    ///
    /// A child that was killed before it could report counts as running; it ends at once.
    ///
    /// # Errors
    /// The step that failed; [`LaunchError::Late`] if there is no report yet, after `waited`.
    pub fn finish(self, waited: Duration) -> Result<Running, LaunchError> {
        let mut report = [0; MAX_REPORT];
        match nix::unistd::read(&self.report, &mut report) {
            // `execve` closed the other end.
            Ok(0) => Ok(self.running),
            Ok(length) => Err(decode(&report[..length])),
            Err(Errno::EAGAIN) => Err(self.late(waited)),
            Err(source) => Err(LaunchError::Report { source }),
        }
    }

    fn late(self, after: Duration) -> LaunchError {
        match self.running.kill() {
            Err(error) => error.into(),
            Ok(()) => LaunchError::Late {
                cgroup: self.running.cgroup,
                after,
            },
        }
    }
}
