//! A process by a descriptor, which stays that process's when its number is another one's.

use nix::errno::Errno;
use nix::libc;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// The process that has the number `pid` now (`pidfd_open(2)`); readable once it has ended.
pub(crate) fn open(pid: i32) -> nix::Result<OwnedFd> {
    // SAFETY: `pidfd_open` takes numbers only.
    let fd = Errno::result(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the call made this descriptor, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
