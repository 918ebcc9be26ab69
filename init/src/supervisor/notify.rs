//! The sockets for `sd_notify(3)`: one per service, so that the sender is known.

mod apply;
pub(super) mod parse;

use crate::effect::descriptors;
use crate::effect::files::remove;
use crate::event::{Event, UnitEvent};
use crate::task::Task;
use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tare_container::paths;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, sleep_until};

/// The longest message we accept, in bytes; the kernel truncates a longer one.
const MAX_MESSAGE: usize = 4096;
/// How many messages of one service are read in [`BURST_TIME`]; the kernel queues the next ones, and then blocks
/// their sender.
const BURST: u32 = 64;
const BURST_TIME: Duration = Duration::from_secs(1);

/// The notify socket of a service. It outlives the service's restarts.
pub(super) struct Notify {
    socket: Rc<UnixDatagram>,
    /// The run that sends now.
    run: Rc<Cell<u64>>,
    _listener: Task,
}

impl Notify {
    /// Opens the notify socket of `service`, whose processes of the user `owner` may send, and forwards its messages to
    /// `events`.
    pub(super) fn listen(
        service: &str,
        owner: u32,
        events: UnboundedSender<Event>,
    ) -> io::Result<Self> {
        let socket = Rc::new(bind(Path::new(&paths::notify(service)), owner)?);
        let run = Rc::new(Cell::new(0));
        let forwarded = forward(
            Rc::clone(&socket),
            Rc::clone(&run),
            service.to_owned(),
            events,
        );
        Ok(Self {
            socket,
            run,
            _listener: Task::spawn(forwarded),
        })
    }

    /// Drops the messages of the previous run, of which no process is left: messages from now on are from `run`.
    pub(super) fn begin(&self, run: u64) {
        let mut buffer = [0; 1];
        // Bypasses the loop's own view of the socket, which may be older than the last message.
        while let Ok((_, came)) = descriptors::receive(&*self.socket, &mut buffer) {
            descriptors::close(came);
        }
        self.run.set(run);
    }
}

fn bind(folder: &Path, owner: u32) -> io::Result<UnixDatagram> {
    fs::create_dir_all(folder)?;
    let path = folder.join("notify.sock");
    // An earlier try may have left one.
    remove(&path)?;
    let socket = UnixDatagram::bind(&path)?;
    // Others of the service, such as those who log in, must not speak for it.
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    chown(&path, Some(owner), None)?;
    Ok(socket)
}

async fn forward(
    socket: Rc<UnixDatagram>,
    run: Rc<Cell<u64>>,
    service: String,
    events: UnboundedSender<Event>,
) {
    let mut buffer = [0; MAX_MESSAGE];
    let (mut taken, mut since) = (0, Instant::now());
    let mut warned = None;
    loop {
        let receive = || descriptors::receive(&*socket, &mut buffer);
        let (length, came) = match socket.async_io(Interest::READABLE, receive).await {
            Ok(received) => received,
            Err(error) => {
                log::warn!("{service}: notify socket: {error}");
                sleep(BURST_TIME).await;
                continue;
            }
        };
        if !came.is_empty() && warned.replace(run.get()) != Some(run.get()) {
            log::warn!("{service}: dropping the descriptors that it sends");
        }
        descriptors::close(came);
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let event = UnitEvent::Notified {
            service: service.clone(),
            run: run.get(),
            message,
        };
        if events.send(event.into()).is_err() {
            return;
        }
        taken += 1;
        if since.elapsed() >= BURST_TIME {
            (taken, since) = (0, Instant::now());
        } else if taken >= BURST {
            sleep_until(since + BURST_TIME).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_that_an_earlier_try_left_is_replaced() {
        let folder = std::env::temp_dir().join(format!("tare-notify-{}", std::process::id()));
        let owner = nix::unistd::geteuid().as_raw();
        drop(bind(&folder, owner).unwrap());
        let bound = bind(&folder, owner).unwrap();
        let sender = std::os::unix::net::UnixDatagram::unbound().unwrap();
        sender
            .send_to(b"READY=1", folder.join("notify.sock"))
            .unwrap();
        bound.readable().await.unwrap();
        fs::remove_dir_all(&folder).unwrap();
    }
}
