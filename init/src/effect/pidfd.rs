//! Descriptors of processes, which still refer to the same process when its pid is reused.

use nix::errno::Errno;
use nix::libc;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::process::Command;

/// Starts a process and opens it. It is reaped with the orphans.
///
/// # Errors
/// The process cannot be started, or no descriptor is left.
pub(crate) fn spawn(command: &mut Command) -> io::Result<OwnedFd> {
    // Its pid is still valid: only the main loop reaps.
    Ok(open(command.spawn()?.id() as i32)?)
}

/// Opens the process that has `pid` now (`pidfd_open(2)`). The descriptor is readable once it has ended.
pub(crate) fn open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: `pidfd_open` takes numbers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the call returned this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
