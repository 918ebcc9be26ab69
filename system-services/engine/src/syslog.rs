//! The machine's log, by its socket for callers of `syslog(3)`.

use std::io::{self, ErrorKind};
use std::os::unix::fs::symlink;

/// `/dev/log` elsewhere; the service's `/dev` is the host's, which has none.
const SOCKET: &str = "/run/log/dev-log";
/// Where dockerd's log driver `syslog` looks next, as `/var/run/syslog` (srslog's `srslog_unix.go`).
const LINK: &str = "/run/syslog";

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
