//! dockerd's READY notification (`sd_notify(3)`). PID 1 is notified by us instead, since it should not hear of every
//! start of dockerd.

use std::fs;
use std::io;
use std::os::unix::net::UnixDatagram;

/// dockerd's `NOTIFY_SOCKET`.
pub(crate) const PATH: &str = "/run/tare-engine/notify.sock";

/// The socket that dockerd notifies.
pub(crate) struct Notify(pub(crate) UnixDatagram);

impl Notify {
    pub(crate) fn open() -> io::Result<Self> {
        let _ = fs::remove_file(PATH);
        let socket = UnixDatagram::bind(PATH)?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// Whether dockerd has sent READY since the last call.
    pub(crate) fn is_ready(&self) -> bool {
        let mut buffer = [0; 4096];
        let mut ready = false;
        while let Ok(length) = self.0.recv(&mut buffer) {
            ready |= says_ready(&buffer[..length]);
        }
        ready
    }
}

fn says_ready(message: &[u8]) -> bool {
    message
        .split(|byte| *byte == b'\n')
        .any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_is_a_line() {
        for (message, want) in [
            ("READY=1", true),
            ("STATUS=x\nREADY=1\n", true),
            ("READY=10", false),
            ("STOPPING=1", false),
            ("", false),
        ] {
            assert_eq!(says_ready(message.as_bytes()), want, "{message}");
        }
    }
}
