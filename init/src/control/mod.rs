//! The control socket: `org.tare.Control` for every peer that may use it.
//!
//! Every connection is a task of its own. It asks PID 1's loop, by an [`Event`], for what only the machine knows, and
//! reads what the kernel knows itself, a little at a time. No peer can make PID 1 wait: messages have a maximum
//! length and a deadline, replies have a deadline, and connections are limited.

mod answer;
mod audit;
mod conversation;
mod limit;
mod machine;
mod message;
mod peer;
mod request;
mod score;
mod stream;
pub(crate) mod usage;

pub(crate) use request::{Process, Request, Response, Snapshot};

use crate::event::{Event, UnitEvent};
use conversation::Conversation;
pub(crate) use conversation::machine_event;
use limit::ConnectionLimit;
use nix::unistd::{Gid, chown};
use peer::{Endpoint, Peer, Rights};
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

/// How many privileged connections there are at a time.
const CONNECTIONS: usize = 32;
/// How many unprivileged ones.
const CONNECTIONS_OF_OTHERS: usize = 8;
/// The first and the longest wait after a connection could not be accepted, most likely for lack of descriptors.
const RECOVER_LEAST: Duration = Duration::from_millis(100);
const RECOVER_MOST: Duration = Duration::from_secs(1);

/// Our end of the control socket.
pub(crate) struct Control {
    path: PathBuf,
    others: Rc<Cell<Others>>,
}

impl Control {
    /// Opens the sockets and answers connections, asking PID 1's loop by `events`.
    ///
    /// # Errors
    /// If one cannot be created.
    pub(crate) fn open(events: UnboundedSender<Event>) -> io::Result<Self> {
        let (path, listener) = bind(SHARE)?;
        chown(&path, None, Some(Gid::from_raw(GROUP)))?;
        let (status_path, status_listener) = bind(STATUS_SHARE)?;
        set_mode(&status_path, 0o666)?;
        let others = Rc::default();
        let control = Self { path, others };
        control.allow(Others::Nothing)?;
        let ours = Rc::new(Listener::new(events, Rc::clone(&control.others)));
        let same = Rc::clone(&ours);
        spawn_local(async move { ours.keep(listener, Endpoint::Control).await });
        spawn_local(async move { same.keep(status_listener, Endpoint::Status).await });
        Ok(control)
    }

    /// Sets what users other than root and the group may do.
    ///
    /// # Errors
    /// If the socket's mode cannot be set; calls are checked in any case.
    pub(crate) fn allow(&self, others: Others) -> io::Result<()> {
        self.others.set(others);
        set_mode(&self.path, mode(others))
    }
}

/// Creates the socket that services share under `name`.
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

/// Connecting to a socket takes write permission (`unix(7)`).
fn mode(others: Others) -> u32 {
    match others {
        Others::Nothing => 0o660,
        Others::Status => 0o666,
    }
}

/// Accepts connections, within limits.
struct Listener {
    events: UnboundedSender<Event>,
    others: Rc<Cell<Others>>,
    privileged: Rc<ConnectionLimit>,
    unprivileged: Rc<ConnectionLimit>,
}

impl Listener {
    fn new(events: UnboundedSender<Event>, others: Rc<Cell<Others>>) -> Self {
        Self {
            events,
            others,
            privileged: ConnectionLimit::new(CONNECTIONS),
            unprivileged: ConnectionLimit::new(CONNECTIONS_OF_OTHERS),
        }
    }

    async fn keep(&self, listener: UnixListener, endpoint: Endpoint) {
        let mut wait = RECOVER_LEAST;
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    wait = RECOVER_LEAST;
                    self.admit(stream, endpoint);
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

    /// Serves the connection `stream`, unless the kernel cannot identify its peer.
    fn admit(&self, stream: UnixStream, endpoint: Endpoint) {
        let peer = match Peer::of(&stream, endpoint) {
            Ok(peer) => peer,
            Err(error) => return log::warn!("control socket: credentials of a client: {error}"),
        };
        self.serve(stream, peer);
    }

    fn serve(&self, stream: UnixStream, peer: Peer) {
        let limit = match peer.rights(self.others.get()) {
            Rights::Everything => &self.privileged,
            Rights::Status | Rights::Nothing => &self.unprivileged,
        };
        let (admission, evicted) = limit.admit();
        let others = Rc::clone(&self.others);
        let events = self.events.clone();
        let conversation = Conversation::new(stream, peer, others, events.clone());
        spawn_local(async move {
            tokio::select! {
                () = conversation.hold(&admission) => {}
                // Another connection takes its place; a program that it waited for ends.
                _ = evicted => drop(events.send(UnitEvent::ProbeLate.into())),
            }
        });
    }
}

#[cfg(test)]
mod tests;
