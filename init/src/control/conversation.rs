//! One connection: calls and their replies, in order.

use super::answer::{self, Answer};
use super::peer::{Peer, Rights};
use super::question::{Question, Told};
use super::seats::Seat;
use super::stream::{Incoming, Outgoing, Stream};
use crate::clock::since_boot;
use crate::supervisor::Event;
use crate::timeline::micros;
use serde::Serialize;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tare_config::machine::Others;
use tare_control::{self as control, Call, EventKind, Failure, Method, Monitor, RawCall};
use tokio::net::UnixStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::sleep;
use zlink_core::connection::{Connection, ReadConnection};
use zlink_core::{Call as Message, Reply};

/// The least time between two calls of somebody without rights.
const PAUSE: Duration = Duration::from_millis(20);

/// A connection and who is at its other end.
pub(super) struct Conversation {
    read: ReadConnection<Incoming>,
    talk: Talk,
}

/// Events that have been, and those to come.
type Events = (Vec<control::Event>, Receiver<control::Event>);

/// All of a conversation but what comes in.
struct Talk {
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
        let (read, write) = Connection::new(Stream(Rc::new(stream))).split();
        let talk = Talk {
            write: write.into_write_half(),
            peer,
            others,
            events,
        };
        Self { read, talk }
    }

    /// Answers one call after the other until the peer is gone or breaks the rules: varlink has no
    /// error for what is no message.
    pub(super) async fn hold(mut self, seat: &Seat) {
        while let Ok((call, _)) = self.read.receive_call::<RawCall>().await {
            seat.set_busy(true);
            let events = match self.talk.answer(call).await {
                Ok(events) => events,
                Err(error) => return log::debug!("control socket: {error}"),
            };
            if let Some(events) = events {
                return self.tell(events).await;
            }
            seat.set_busy(false);
            if self.talk.rights() != Rights::Everything {
                sleep(PAUSE).await;
            }
        }
    }

    /// Passes events on until the peer is gone, or says something: nobody would answer it.
    async fn tell(mut self, events: Events) {
        tokio::select! {
            _ = self.read.receive_call::<RawCall>() => {}
            result = self.talk.tell(events) => {
                if let Err(error) = result {
                    log::debug!("control socket: {error}");
                }
            }
        }
    }
}

impl Talk {
    fn rights(&self) -> Rights {
        self.peer.rights(self.others.get())
    }

    /// Replies to `call`, or hands out the events that it wants.
    async fn answer(&self, call: Message<RawCall>) -> io::Result<Option<Events>> {
        let (more, oneway) = (call.more(), call.oneway());
        let result = match Call::try_from(call.method().clone()) {
            Ok(call) => self.find_out(call, more && !oneway).await,
            Err(failure) => Err(failure),
        };
        match result {
            Ok(Found::Events(events)) => return Ok(Some(events)),
            _ if oneway => {}
            Ok(Found::Answer(answer)) => self.send(&Reply::new(Some(answer))).await?,
            Err(failure) => self.send(&failure).await?,
        }
        Ok(None)
    }

    async fn find_out(&self, call: Call, more: bool) -> Result<Found, Failure> {
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
        match self.ask(method).await? {
            Told::Events(recent, events) => Ok(Found::Events((recent, events))),
            told => Ok(Found::answer(answer::complete(told).await)),
        }
    }

    /// Asks PID 1's loop; that there is none any more is the machine's end.
    async fn ask(&self, method: Method) -> Result<Told, Failure> {
        let (answer, told) = oneshot::channel();
        let question = Event::Asked(Question { method, answer });
        let asked = self.events.send(question);
        asked.map_err(|_| Failure::MachineEnding {})?;
        told.await.unwrap_or(Err(Failure::MachineEnding {}))
    }

    async fn tell(&self, (recent, mut events): Events) -> io::Result<()> {
        for event in recent {
            self.send_event(event).await?;
        }
        self.send_event(note(EventKind::Begin, String::new()))
            .await?;
        loop {
            let event = match events.recv().await {
                Ok(event) => event,
                Err(RecvError::Lagged(count)) => {
                    note(EventKind::Lost, format!("{count} events were left out"))
                }
                Err(RecvError::Closed) => return Ok(()),
            };
            self.send_event(event).await?;
        }
    }

    async fn send_event(&self, event: control::Event) -> io::Result<()> {
        let reply = Reply::new(Some(Monitor { event }));
        self.send(&reply.set_continues(Some(true))).await
    }

    async fn send(&self, message: &impl Serialize) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(message)?;
        bytes.push(0);
        self.write.send(&bytes).await
    }
}

/// What a call leads to.
enum Found {
    Answer(Box<Answer>),
    Events(Events),
}

impl Found {
    fn answer(answer: Answer) -> Self {
        Self::Answer(Box::new(answer))
    }
}

fn note(kind: EventKind, text: String) -> control::Event {
    control::Event {
        time: micros(since_boot()),
        kind,
        service: None,
        old_state: None,
        new_state: None,
        text,
    }
}
