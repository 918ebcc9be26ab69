//! The services' side of `sd_notify(3)`: one socket a service, so that who speaks is known.

use super::event::Event;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use tare_container::paths;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::UnboundedSender;

/// The longest message we take, in bytes; a longer one is cut by the kernel.
const MAX_MESSAGE: usize = 4096;

/// Opens the notify socket of `service` and forwards what comes in to `events`.
///
/// The socket stays for as long as PID 1 runs: it outlives restarts of the service.
pub(super) fn listen(service: &str, events: UnboundedSender<Event>) -> io::Result<()> {
    let folder = PathBuf::from(paths::notify(service));
    fs::create_dir_all(&folder)?;
    let path = folder.join("notify.sock");
    let socket = UnixDatagram::bind(&path)?;
    // A service that is not root must be able to speak; only it can see the folder.
    fs::set_permissions(&path, Permissions::from_mode(0o666))?;
    let service = service.to_owned();
    tokio::task::spawn_local(async move {
        let mut buffer = [0; MAX_MESSAGE];
        while let Ok(length) = socket.recv(&mut buffer).await {
            let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if events
                .send(Event::Notified {
                    service: service.clone(),
                    message,
                })
                .is_err()
            {
                return;
            }
        }
    });
    Ok(())
}

/// The values of `key` in a message of `KEY=VALUE` lines.
pub(crate) fn values<'a>(message: &'a str, key: &'a str) -> impl Iterator<Item = &'a str> {
    let pairs = message.lines().filter_map(|line| line.split_once('='));
    pairs.filter_map(move |(name, value)| (name == key).then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_lines_of_key_and_value() {
        let message = "READY=1\nX_TARE_LEASE={\"a\"=1}\nX_TARE_LEASE=2\njunk";
        assert_eq!(values(message, "READY").collect::<Vec<_>>(), ["1"]);
        assert_eq!(
            values(message, "X_TARE_LEASE").collect::<Vec<_>>(),
            ["{\"a\"=1}", "2"]
        );
        assert_eq!(values(message, "junk").count(), 0);
    }
}
