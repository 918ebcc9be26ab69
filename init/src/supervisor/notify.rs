//! The services' side of `sd_notify(3)`: one socket a service, so that who speaks is known.

use super::event::Event;
use crate::effect::descriptors;
use crate::effect::files::remove;
use crate::task::Task;
use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tare_container::paths;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, sleep_until};

/// The longest message we take, in bytes; a longer one is cut by the kernel.
const MAX_MESSAGE: usize = 4096;
/// So many messages of one service are taken in [`BURST_TIME`]; the kernel keeps the next ones, and then
/// their sender, waiting.
const BURST: u32 = 64;
const BURST_TIME: Duration = Duration::from_secs(1);

/// The notify socket of a service. It outlives the service's restarts.
pub(super) struct Notify {
    socket: Rc<UnixDatagram>,
    /// The run that speaks now.
    run: Rc<Cell<u64>>,
    _listener: Task,
}

impl Notify {
    /// Opens the notify socket of `service` and forwards what comes in to `events`.
    pub(super) fn listen(service: &str, events: UnboundedSender<Event>) -> io::Result<Self> {
        let folder = PathBuf::from(paths::notify(service));
        fs::create_dir_all(&folder)?;
        let path = folder.join("notify.sock");
        // One that an earlier try has left.
        remove(&path)?;
        let socket = Rc::new(UnixDatagram::bind(&path)?);
        // A service that is not root must be able to speak; only it can see the folder.
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
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

    /// Forgets what the run before has said, for nothing is left of it: what comes from now on is of
    /// `run`.
    pub(super) fn begin(&self, run: u64) {
        let mut buffer = [0; 1];
        // Past the loop's own view of the socket, which may be older than the last message.
        while let Ok((_, came)) = descriptors::receive(&*self.socket, &mut buffer) {
            descriptors::close(came);
        }
        self.run.set(run);
    }
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
            log::warn!("{service}: it sends descriptors, which nobody takes");
        }
        descriptors::close(came);
        let message = String::from_utf8_lossy(&buffer[..length]).into_owned();
        let event = Event::Notified {
            service: service.clone(),
            run: run.get(),
            message,
        };
        if events.send(event).is_err() {
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
