//! The control socket: `org.tare.Control` for whoever may ask.
//!
//! Every connection is a task of its own. What only the machine knows it asks by an [`Event`] of PID 1's
//! loop; what the kernel knows it reads itself, a little at a time. Nobody can make PID 1 wait: messages
//! have a longest length and a deadline, replies a deadline, and connections are counted.

mod answer;
mod audit;
mod conversation;
mod machine;
mod peer;
mod question;
mod score;
mod seats;
mod stream;
mod usage;

pub(crate) use question::{Known, Process, Question, Told};

use crate::supervisor::Event;
use conversation::Conversation;
use nix::unistd::{Gid, chown};
use peer::{Peer, Rights};
use seats::Seats;
use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;
use tare_config::machine::Others;
use tare_container::paths::shared;
use tare_control::{GROUP, SHARE, SOCKET_NAME};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// How many connections of those who may do everything there are at a time.
const SEATS: usize = 32;
/// How many of all others.
const SEATS_OF_OTHERS: usize = 8;
/// After a connection could not be taken: most likely there are no descriptors left.
const RECOVER: Duration = Duration::from_millis(100);

/// Our end of the control socket.
pub(crate) struct Control {
    path: PathBuf,
    others: Rc<Cell<Others>>,
}

impl Control {
    /// Opens the socket and answers whoever connects, by asking with `events`.
    ///
    /// # Errors
    /// If it cannot be made.
    pub(crate) fn open(events: UnboundedSender<Event>) -> io::Result<Self> {
        let folder = PathBuf::from(shared(SHARE));
        fs::create_dir_all(&folder)?;
        let path = folder.join(SOCKET_NAME);
        let listener = UnixListener::bind(&path)?;
        chown(&path, None, Some(Gid::from_raw(GROUP)))?;
        let others = Rc::default();
        let door = Door::new(events, Rc::clone(&others));
        spawn_local(async move { door.keep(listener).await });
        let control = Self { path, others };
        control.allow(Others::Nothing)?;
        Ok(control)
    }

    /// Says what others than root and the group may do.
    ///
    /// # Errors
    /// If the socket's mode cannot be set; what is asked over it is judged in any case.
    pub(crate) fn allow(&self, others: Others) -> io::Result<()> {
        self.others.set(others);
        fs::set_permissions(&self.path, Permissions::from_mode(mode(others)))
    }
}

/// Whoever may write to a socket may connect to it (`unix(7)`).
fn mode(others: Others) -> u32 {
    match others {
        Others::Nothing => 0o660,
        Others::Status => 0o666,
    }
}

/// Who comes in, and how many.
struct Door {
    events: UnboundedSender<Event>,
    others: Rc<Cell<Others>>,
    privileged: Rc<Seats>,
    unprivileged: Rc<Seats>,
}

impl Door {
    fn new(events: UnboundedSender<Event>, others: Rc<Cell<Others>>) -> Self {
        Self {
            events,
            others,
            privileged: Seats::new(SEATS),
            unprivileged: Seats::new(SEATS_OF_OTHERS),
        }
    }

    async fn keep(&self, listener: UnixListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    log::warn!("control socket: accept: {error}");
                    sleep(RECOVER).await;
                }
            }
        }
    }

    /// Talks to whoever is at the other end of `stream`; who nobody knows is not talked to.
    fn admit(&self, stream: UnixStream) {
        let peer = match Peer::of(&stream) {
            Ok(peer) => peer,
            Err(error) => return log::warn!("control socket: who connects: {error}"),
        };
        self.seat(stream, peer);
    }

    fn seat(&self, stream: UnixStream, peer: Peer) {
        let seats = match peer.rights(self.others.get()) {
            Rights::Everything => &self.privileged,
            Rights::Status | Rights::Nothing => &self.unprivileged,
        };
        let (seat, called_up) = seats.take();
        let others = Rc::clone(&self.others);
        let conversation = Conversation::new(stream, peer, others, self.events.clone());
        spawn_local(async move {
            tokio::select! {
                () = conversation.hold(&seat) => {}
                // Somebody else needs the seat.
                _ = called_up => {}
            }
        });
    }
}

#[cfg(test)]
mod tests;
