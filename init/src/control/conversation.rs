//! One connection: calls and their replies, in order.

use super::answer::{self, Answer};
use super::limit::Admission;
use super::message::{Message, Reply};
use super::peer::{Peer, Rights};
use super::request::{Request, Response};
use super::stream::{Incoming, Outgoing, split};
use crate::clock::since_boot;
use crate::event::{Event, UnitEvent};
use crate::supervisor::Ended;
use crate::timeline::micros;
use serde::Serialize;
use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tare_config::machine::Others;
use tare_control::{self as control, Call, EventKind, Failure, Method, Monitor};
use tokio::net::UnixStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::sleep;

/// The least time between two calls of an unprivileged peer.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection and its peer.
pub(super) struct Conversation {
    read: Incoming,
    session: Session,
}

/// Past events, and those to come.
type Events = (Vec<control::Event>, Receiver<control::Event>);

/// All of a conversation except its input.
struct Session {
    write: Outgoing,
    peer: Peer,
    others: Rc<Cell<Others>>,
    events: UnboundedSender<Event>,
}

impl Conversation {
    pub(super) fn new(
        stream: UnixStream,
        peer: Peer,
        others: Rc<Cell<Others>>,
        events: UnboundedSender<Event>,
    ) -> Self {
        let takes_descriptors = peer.rights(others.get()) == Rights::Everything;
        let (read, write) = split(stream, takes_descriptors);
        let session = Session {
            write,
            peer,
            others,
            events,
        };
        Self { read, session }
    }

    /// Answers one call after the other until the peer is gone or breaks the protocol: varlink has no error for
    /// something that is not a message.
    pub(super) async fn hold(mut self, admission: &Admission) {
        self.pause().await;
        while let Ok((call, descriptors)) = self.read.receive().await {
            admission.set_busy(true);
            let lasting = match self.session.answer(call, descriptors).await {
                Ok(lasting) => lasting,
                Err(error) => return log::debug!("control socket: {error}"),
            };
            if let Some(lasting) = lasting {
                if !self.stay(lasting).await {
                    return;
                }
            }
            admission.set_busy(false);
            self.pause().await;
        }
    }

    /// Waits before every call of an unprivileged peer, including the first, so that reconnecting does not avoid the
    /// wait.
    async fn pause(&self) {
        if self.session.rights() != Rights::Everything {
            sleep(PAUSE).await;
        }
    }

    /// Waits for a call that lasts; returns false if the peer is gone first.
    async fn stay(&mut self, lasting: Lasting) -> bool {
        match lasting {
            Lasting::Program(ended) => self.await_end(ended).await,
            Lasting::Events(events) => {
                self.tell(events).await;
                false
            }
        }
    }

    /// Replies when a program has ended; returns false if the peer is gone first, which ends the program.
    async fn await_end(&mut self, ended: oneshot::Receiver<Ended>) -> bool {
        let ended = tokio::select! {
            ended = ended => Some(ended),
            _ = self.read.receive() => None,
        };
        let Some(ended) = ended else {
            // The receiver is dropped by now.
            let _ = self.session.events.send(UnitEvent::ProbeLate.into());
            return false;
        };
        self.session.tell_end(ended).await.is_ok()
    }

    /// Forwards events until the peer is gone or sends something, which would not be answered.
    async fn tell(&mut self, events: Events) {
        tokio::select! {
            _ = self.read.receive() => {}
            result = self.session.tell(events) => {
                if let Err(error) = result {
                    log::debug!("control socket: {error}");
                }
            }
        }
    }
}

impl Session {
    fn rights(&self) -> Rights {
        self.peer.rights(self.others.get())
    }

    /// Replies to `call`, or returns what has to be waited for.
    async fn answer(
        &self,
        call: Message,
        descriptors: Vec<OwnedFd>,
    ) -> io::Result<Option<Lasting>> {
        let (more, oneway) = (call.more, call.oneway);
        let result = match Call::try_from(call.call) {
            Ok(call) => self.find_out(call, descriptors, more && !oneway).await,
            Err(failure) => Err(failure),
        };
        match result {
            Ok(Found::Lasting(lasting)) => return Ok(Some(lasting)),
            _ if oneway => {}
            Ok(Found::Answer(answer)) => self.send(&Reply::only(answer)).await?,
            Err(failure) => self.send(&failure).await?,
        }
        Ok(None)
    }

    async fn find_out(
        &self,
        call: Call,
        descriptors: Vec<OwnedFd>,
        more: bool,
    ) -> Result<Found, Failure> {
        let method = match call {
            _ if self.rights() == Rights::Nothing => return Err(Failure::PermissionDenied {}),
            Call::GetInfo => return Ok(Found::answer(answer::info())),
            Call::GetInterfaceDescription { interface } => {
                return answer::description(interface).map(Found::answer);
            }
            Call::Control(method) => method,
        };
        if !self.rights().allow(&method) {
            return Err(Failure::PermissionDenied {});
        }
        if matches!(method, Method::Monitor { .. }) && !more {
            return Err(Failure::ExpectedMore {});
        }
        Ok(match self.ask(method, descriptors).await? {
            Response::Events(recent, events) => Found::Lasting(Lasting::Events((recent, events))),
            Response::Program(ended) => Found::Lasting(Lasting::Program(ended)),
            told => Found::answer(answer::complete(told).await),
        })
    }

    async fn tell_end(&self, ended: Result<Ended, oneshot::error::RecvError>) -> io::Result<()> {
        match ended {
            Ok(Ok(outcome)) => self.send(&Reply::only(answer::outcome(outcome))).await,
            Ok(Err(reason)) => self.send(&Failure::ExecFailed { reason }).await,
            Err(_) => self.send(&Failure::MachineEnding {}).await,
        }
    }

    /// Asks PID 1's loop. If the loop is gone, the machine is ending.
    async fn ask(&self, method: Method, descriptors: Vec<OwnedFd>) -> Result<Response, Failure> {
        let (answer, told) = oneshot::channel();
        let request = Event::Control(Request {
            method,
            uid: self.peer.uid,
            descriptors,
            answer,
        });
        let asked = self.events.send(request);
        asked.map_err(|_| Failure::MachineEnding {})?;
        told.await.unwrap_or(Err(Failure::MachineEnding {}))
    }

    async fn tell(&self, (recent, mut events): Events) -> io::Result<()> {
        for event in recent {
            self.send_event(event).await?;
        }
        self.send_event(machine_event(EventKind::Begin, String::new()))
            .await?;
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(count)) => {
                    machine_event(EventKind::Lost, format!("{count} events were left out"))
                }
                Err(RecvError::Closed) => return Ok(()),
            };
            self.send_event(event).await?;
        }
    }

    async fn send_event(&self, event: control::Event) -> io::Result<()> {
        let reply = Reply {
            parameters: Monitor { event },
            continues: true,
        };
        self.send(&reply).await
    }

    async fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(0);
        self.write.send(&bytes).await
    }
}

/// The result of a call.
enum Found {
    Answer(Box<Answer>),
    Lasting(Lasting),
}

/// What is waited for while the peer is connected.
enum Lasting {
    Events(Events),
    Program(oneshot::Receiver<Ended>),
}

impl Found {
    fn answer(answer: Answer) -> Self {
        Self::Answer(Box::new(answer))
    }
}

/// An event of the machine, or of the stream of events, as a whole.
pub(crate) fn machine_event(kind: EventKind, text: String) -> control::Event {
    control::Event {
        time: micros(since_boot()),
        kind,
        service: None,
        old_state: None,
        new_state: None,
        text,
    }
}
