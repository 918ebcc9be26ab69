//! Blocks every open of a file, including the one by `execve` (fcntl(2), `F_SETLEASE`).

use nix::errno::Errno;
use nix::libc::{self, c_int};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// A file that no other process can open until this is dropped. The kernel ends the lease by itself after 45 s.
pub(crate) struct Lease(File);

impl Lease {
    pub(crate) fn take(path: &Path) -> Self {
        let lease = Self(File::open(path).unwrap());
        lease.ask(libc::F_SETLEASE, libc::F_WRLCK);
        // Otherwise SIGIO ends this process when another one tries to open the file.
        lease.ask(libc::F_SETOWN, 0);
        lease
    }

    /// Waits until another process tries to open the file.
    pub(crate) fn wait_broken(&self) {
        let until = Instant::now() + crate::DEADLINE;
        while self.ask(libc::F_GETLEASE, 0) == libc::F_WRLCK {
            assert!(Instant::now() < until, "the file was not opened");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ask(&self, what: c_int, argument: c_int) -> c_int {
        // SAFETY: the commands used here take no pointers.
        let answer = unsafe { libc::fcntl(self.0.as_raw_fd(), what, argument) };
        Errno::result(answer).unwrap()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // A copy of this process also has the file open while it waits.
        self.ask(libc::F_SETLEASE, libc::F_UNLCK);
    }
}
