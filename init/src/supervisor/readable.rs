//! Waiting for a descriptor.

use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `fd` in PID 1's loop.
pub(super) fn readable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the registration owns the descriptor, which therefore stays open and the same until
    // it is dropped with it.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Waits until `fd` is readable; for ever if it cannot be waited for.
pub(super) async fn until_readable(fd: OwnedFd) {
    match readable(fd) {
        Ok(fd) => drop(fd.readable().await),
        Err(error) => {
            log::error!("wait for a descriptor: {error}");
            std::future::pending().await
        }
    }
}
