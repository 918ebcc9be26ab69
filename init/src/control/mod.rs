//! The control socket: `org.tare.Control` for whoever may ask.
//!
//! Every connection is a task of its own. What only the machine knows it asks by an [`Event`] of PID 1's
//! loop; what the kernel knows it reads itself, a little at a time. Nobody can make PID 1 wait: messages
//! have a longest length and a deadline, replies a deadline, and connections are counted.

mod answer;
mod audit;
mod conversation;
mod machine;
mod message;
mod peer;
mod question;
mod score;
mod seats;
mod stream;
pub(crate) mod usage;

pub(crate) use question::{Known, Process, Question, Told};

use crate::supervisor::Event;
use conversation::Conversation;
pub(crate) use conversation::machine_event;
use nix::unistd::{Gid, chown};
use peer::{Entrance, Peer, Rights};
use seats::Seats;
use std::cell::Cell;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use tare_config::machine::Others;
use tare_container::paths::shared;
use tare_control::{GROUP, SHARE, SOCKET_NAME, STATUS_SHARE};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// How many connections of those who may do everything there are at a time.
const SEATS: usize = 32;
/// How many of all others.
const SEATS_OF_OTHERS: usize = 8;
/// The first wait after a connection could not be taken, most likely because there are no descriptors left; and the
/// longest.
const RECOVER_LEAST: Duration = Duration::from_millis(100);
const RECOVER_MOST: Duration = Duration::from_secs(1);

/// Our end of the control socket.
pub(crate) struct Control {
    path: PathBuf,
    others: Rc<Cell<Others>>,
}

impl Control {
    /// Opens the sockets and answers whoever connects, by asking with `events`.
    ///
    /// # Errors
    /// If one cannot be made.
    pub(crate) fn open(events: UnboundedSender<Event>) -> io::Result<Self> {
        let (path, listener) = bind(SHARE)?;
        chown(&path, None, Some(Gid::from_raw(GROUP)))?;
        let (status_path, status_listener) = bind(STATUS_SHARE)?;
        set_mode(&status_path, 0o666)?;
        let others = Rc::default();
        let control = Self { path, others };
        control.allow(Others::Nothing)?;
        let door = Rc::new(Door::new(events, Rc::clone(&control.others)));
        let same_door = Rc::clone(&door);
        spawn_local(async move { door.keep(listener, Entrance::Control).await });
        spawn_local(async move { same_door.keep(status_listener, Entrance::Status).await });
        Ok(control)
    }

    /// Says what others than root and the group may do.
    ///
    /// # Errors
    /// If the socket's mode cannot be set; what is asked over it is judged in any case.
    pub(crate) fn allow(&self, others: Others) -> io::Result<()> {
        self.others.set(others);
        set_mode(&self.path, mode(others))
    }
}

/// The socket that services share under `name`.
fn bind(name: &str) -> io::Result<(PathBuf, UnixListener)> {
    let folder = PathBuf::from(shared(name));
    fs::create_dir_all(&folder)?;
    let path = folder.join(SOCKET_NAME);
    let listener = UnixListener::bind(&path)?;
    Ok((path, listener))
}

fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
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

    async fn keep(&self, listener: UnixListener, entrance: Entrance) {
        let mut wait = RECOVER_LEAST;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    wait = RECOVER_LEAST;
                    self.admit(stream, entrance);
                }
                Err(error) => {
                    if wait == RECOVER_LEAST {
                        log::warn!("control socket: accept: {error}");
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(RECOVER_MOST);
                }
            }
        }
    }

    /// Talks to whoever is at the other end of `stream`; who nobody knows is not talked to.
    fn admit(&self, stream: UnixStream, entrance: Entrance) {
        let peer = match Peer::of(&stream, entrance) {
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
        let events = self.events.clone();
        let conversation = Conversation::new(stream, peer, others, events.clone());
        spawn_local(async move {
            tokio::select! {
                () = conversation.hold(&seat) => {}
                // Somebody else needs the seat; a program that was waited for here ends.
                _ = called_up => drop(events.send(Event::ProbeLate)),
            }
        });
    }
}

#[cfg(test)]
mod tests;
