//! The last step on the way to a daemon: the sockets that PID 1 holds for this service, if there are any
//! (`sd_listen_fds(3)`).

use rustix::io::{FdFlags, fcntl_setfd};
use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, id};

/// How many there are, from descriptor 3 up.
const COUNT: &str = "LISTEN_FDS";
/// Whom they are for: who is not this process leaves them alone.
const RECEIVER: &str = "LISTEN_PID";
/// What they are called.
const NAMES: &str = "LISTEN_FDNAMES";
const FIRST: i32 = 3;

/// How many sockets PID 1 holds for this service.
pub(crate) fn sockets() -> i32 {
    let count = env::var(COUNT).ok().and_then(|count| count.parse().ok());
    count.unwrap_or(0)
}

/// Becomes `daemon`. Comes back only with what is wrong.
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

/// The sockets are dockerd's. From containerd every container's shim would have them.
fn keep_sockets() -> io::Result<()> {
    for descriptor in FIRST..FIRST + sockets() {
        // SAFETY: PID 1 has passed these open, and nothing in this process closes them.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        fcntl_setfd(socket, FdFlags::CLOEXEC)?;
    }
    Ok(())
}
