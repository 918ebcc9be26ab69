//! Waiting for a descriptor.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::sleep;

/// The wait between two tries to register a descriptor.
const RETRY: Duration = Duration::from_secs(1);

/// Registers `fd` with PID 1's loop.
pub(crate) fn readable<T: AsFd + AsRawFd>(fd: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the registration owns or borrows the descriptor, which therefore stays open and the same
    // until it is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    registered.map_err(|error| error.into_parts().1)
}

/// Waits until `fd` is readable. If it cannot be registered, for lack of memory, polls it once a second.
pub(crate) async fn until_readable(fd: OwnedFd) {
    let mut reported = false;
    loop {
        match readable(fd.as_fd()) {
            Ok(fd) => return drop(fd.readable().await),
            Err(error) if !reported => {
                log::error!("wait for a descriptor: {error}");
                reported = true;
            }
            Err(_) => {}
        }
        sleep(RETRY).await;
        let mut polled = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
        if poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use tokio::time::timeout;

    #[tokio::test]
    async fn what_epoll_refuses_is_polled() {
        // `EPERM` for a regular file (epoll_ctl(2)), which can always be read.
        let file = File::open("/proc/self/exe").unwrap();
        assert_eq!(
            readable(file.as_fd()).unwrap_err().raw_os_error(),
            Some(nix::libc::EPERM)
        );
        let waited = timeout(RETRY * 2, until_readable(file.into())).await;
        assert_eq!(waited, Ok(()));
    }
}
