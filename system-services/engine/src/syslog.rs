//! The machine's log, by its socket for callers of `syslog(3)`.

use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;

/// `/dev/log` elsewhere; the service's `/dev` is the host's, which has none.
const SOCKET: &str = "/run/log/dev-log";
/// Where dockerd's log driver `syslog` looks next, as `/var/run/syslog` (srslog's `srslog_unix.go`).
const LINK: &str = "/run/syslog";
/// Facility daemon, severity warning (RFC 3164, section 4.1.1).
const WARNING: u8 = (3 << 3) | 4;

/// Makes dockerd find the socket.
///
/// # Errors
/// The link cannot be made.
pub(crate) fn link() -> io::Result<()> {
    match symlink(SOCKET, LINK) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Logs a warning of this service from a process whose output is not its own. Does not wait for a full log.
///
/// # Errors
/// The log does not take it.
pub(crate) fn warn(text: &str) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    let message = format!("<{WARNING}>engine: {text}");
    socket.send_to(message.as_bytes(), SOCKET).map(drop)
}
