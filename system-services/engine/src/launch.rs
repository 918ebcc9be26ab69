//! The last step before a daemon runs: passes on the sockets that PID 1 holds for this service, if any
//! (`sd_listen_fds(3)`).

use rustix::io::{FdFlags, fcntl_setfd};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, id};

/// The number of sockets, from descriptor 3 up.
const COUNT: &str = "LISTEN_FDS";
/// The process they are for; any other process ignores them.
const RECEIVER: &str = "LISTEN_PID";
/// Their names.
const NAMES: &str = "LISTEN_FDNAMES";
const FIRST: i32 = 3;

/// The number of sockets that PID 1 holds for this service.
pub(crate) fn sockets() -> i32 {
    let count = env::var(COUNT).ok().and_then(|count| count.parse().ok());
    count.unwrap_or(0)
}

/// Executes `daemon`. Returns only on failure.
pub(crate) fn become_daemon(daemon: &OsStr, arguments: &[OsString]) -> io::Error {
    let mut command = Command::new(daemon);
    command.args(arguments);
    if daemon == "dockerd" {
        if sockets() > 0 {
            command.env(RECEIVER, id().to_string());
        }
        return command.exec();
    }
    for variable in [COUNT, RECEIVER, NAMES] {
        command.env_remove(variable);
    }
    match keep_sockets() {
        Ok(()) => command.exec(),
        Err(error) => error,
    }
}

/// Closes the sockets, in a process that has inherited them and is not dockerd.
pub(crate) fn close_sockets() {
    for descriptor in FIRST..FIRST + sockets() {
        // SAFETY: PID 1 passed these descriptors open, and nothing else in this process uses them.
        drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    }
}

/// The sockets are dockerd's. Without this, every container's shim would inherit them from containerd.
fn keep_sockets() -> io::Result<()> {
    for descriptor in FIRST..FIRST + sockets() {
        // SAFETY: PID 1 passed these descriptors open, and nothing in this process closes them.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    }
    Ok(())
}
