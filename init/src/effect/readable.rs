//! Waiting for a descriptor.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// `fd` in PID 1's loop.
pub(crate) fn readable<T: AsFd + AsRawFd>(fd: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the registration owns or borrows the descriptor, which therefore stays open and the same
    // until it is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// Waits until `fd` is readable; for ever if it cannot be waited for.
pub(crate) async fn until_readable(fd: OwnedFd) {
    match readable(fd) {
        Ok(fd) => drop(fd.readable().await),
        Err(error) => {
            log::error!("wait for a descriptor: {error}");
            std::future::pending().await
        }
    }
}
