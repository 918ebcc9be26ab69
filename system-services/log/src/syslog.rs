//! The socket behind `syslog(3)`: `dev-log` in the shared directory, which a service that wants
//! it mounts and links as `/dev/log`.

use crate::line::{Entry, Moment};
use crate::store::Store;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

const SOCKET: &str = "dev-log";
/// The longest message that is taken; the rest of a longer one is dropped.
const LONGEST: usize = 8192;
/// Messages read at once, so that a flood does not keep others waiting.
const AT_ONCE: usize = 256;

/// The names of `syslog.h`, by number.
const SEVERITIES: [&str; 8] = [
    "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
];

/// The name of the severity in a priority (RFC 5424, section 6.2.1).
pub(crate) fn severity(priority: u32) -> &'static str {
    SEVERITIES[(priority % 8) as usize]
}

/// The socket, open to all who see it.
pub(crate) struct Syslog(UnixDatagram);

impl Syslog {
    /// Makes the socket anew in the directory `shared`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn open(shared: &Path) -> io::Result<Self> {
        let path = shared.join(SOCKET);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let socket = UnixDatagram::bind(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Takes the messages that are there; false if there may be more.
    pub(crate) fn read(&self, store: &mut Store) -> bool {
        let mut message = [0; LONGEST];
        let at = Moment::now();
        for _ in 0..AT_ONCE {
            let Ok(length) = self.0.recv(&mut message) else {
                return true;
            };
            let (priority, text) = parse(&message[..length]);
            let place = severity(priority);
            for line in text.split(|byte| *byte == b'\n') {
                store.push(&Entry {
                    at,
                    who: "syslog",
                    place,
                    text: line,
                });
            }
        }
        false
    }
}

impl AsFd for Syslog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Priority and text of what `syslog(3)` sends: `<PRIORITY>Mmm dd hh:mm:ss TEXT`. Its time is
/// left out, having neither year nor zone. Without a priority: user.notice (RFC 3164, section
/// 4.3.3).
fn parse(message: &[u8]) -> (u32, &[u8]) {
    const USER_NOTICE: u32 = 13;
    let message = message.trim_ascii_end();
    let message = message.strip_suffix(b"\0").unwrap_or(message);
    let (priority, text) = priority(message).unwrap_or((USER_NOTICE, message));
    (priority, without_time(text))
}

fn priority(message: &[u8]) -> Option<(u32, &[u8])> {
    let rest = message.strip_prefix(b"<")?;
    let end = rest.iter().take(4).position(|byte| *byte == b'>')?;
    let number = std::str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((number, &rest[end + 1..]))
}

fn without_time(text: &[u8]) -> &[u8] {
    /// A digit or blank where there is a `0`, a letter where there is an `a`.
    const SHAPE: &[u8; 16] = b"aaa 00 00:00:00 ";
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'a' => byte.is_ascii_alphabetic(),
        b'0' => byte.is_ascii_digit() || *byte == b' ',
        other => byte == other,
    };
    let has_time = text.len() >= SHAPE.len() && text.iter().zip(SHAPE).all(fits);
    if has_time { &text[SHAPE.len()..] } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages() {
        for (message, want) in [
            ("<30>Nov  1 04:12:35 cron[9]: run", (30, "cron[9]: run")),
            ("<11>logger: no time", (11, "logger: no time")),
            ("plain\n", (13, "plain")),
            ("<3>zero\0", (3, "zero")),
            ("<99999>x", (13, "<99999>x")),
            ("<>x", (13, "<>x")),
            ("", (13, "")),
        ] {
            let (priority, text) = parse(message.as_bytes());
            assert_eq!(
                (priority, str::from_utf8(text).unwrap()),
                want,
                "{message:?}"
            );
        }
    }

    #[test]
    fn severities() {
        assert_eq!(
            (severity(0), severity(30), severity(191)),
            ("emerg", "info", "debug")
        );
    }
}
