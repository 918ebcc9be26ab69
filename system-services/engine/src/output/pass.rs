//! All containers' output over one connection to `forward`.

use super::follow::{Follow, Outcome};
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use tare_engine_api::{Engine, EngineError, Event, Events, Mark};

/// What matters here of what happens to containers.
const ACTIONS: [&str; 4] = ["create", "start", "rename", "destroy"];
/// dockerd searches all files of an ended container for lines that are new.
const ENDED_AT_ONCE: usize = 8;

/// One connection to `forward`, and those to dockerd.
pub(super) struct Pass<'a> {
    engine: &'a Engine,
    receiver: UnixStream,
    /// Up to where output has been passed on.
    marks: BTreeMap<String, Mark>,
    /// `None` once dockerd has ended.
    events: Option<(UnixStream, Events)>,
    follows: BTreeMap<String, Followed>,
    /// What containers are that have been created: one that is removed as soon as it ends may be gone before dockerd can
    /// be asked. The answers wait in their sockets.
    created: BTreeMap<String, UnixStream>,
    /// Ended containers whose output is read in their turn.
    ended: VecDeque<String>,
}

/// A container whose output is read.
struct Followed {
    follow: Follow,
    has_ended: bool,
    /// It has been started again; the output of this run comes after that of the last one.
    again: bool,
    removed: bool,
}

/// What has become readable.
enum Ready {
    Receiver,
    Events,
    Container(String),
}

impl<'a> Pass<'a> {
    /// Requests the output of all containers after `marks`. Events first: none is missed meanwhile.
    pub(super) fn begin(
        engine: &'a Engine,
        receiver: UnixStream,
        marks: BTreeMap<String, Mark>,
    ) -> Result<Self> {
        let events = engine.events(&ACTIONS)?;
        let listed = engine.list()?;
        let mut pass = Self {
            engine,
            receiver,
            marks,
            events: Some((events, Events::default())),
            follows: BTreeMap::new(),
            created: BTreeMap::new(),
            ended: VecDeque::new(),
        };
        let there = |id: &String| listed.iter().any(|container| container.id == *id);
        let gone: Vec<String> = pass.marks.keys().filter(|id| !there(id)).cloned().collect();
        gone.iter().try_for_each(|id| pass.forget(id))?;
        for container in listed {
            match &*container.state {
                // It has not written anything.
                "created" => {}
                "running" | "paused" | "restarting" => pass.follow(&container.id, false)?,
                _ => pass.ended.push_back(container.id),
            }
        }
        Ok(pass)
    }

    /// Passes output on until `forward` ends, or dockerd has ended and all that it had is passed on.
    pub(super) fn run(&mut self) -> Result<()> {
        while self.events.is_some() || !self.follows.is_empty() {
            self.follow_ended()?;
            for ready in self.wait()? {
                match ready {
                    Ready::Receiver => return Ok(()),
                    Ready::Events => self.take_events()?,
                    Ready::Container(id) => self.take_output(&id)?,
                }
            }
        }
        Ok(())
    }

    fn follow(&mut self, id: &str, has_ended: bool) -> Result<(), EngineError> {
        let mark = self.marks.get(id).copied();
        let follow = Follow::begin(self.engine, id, mark, self.created.remove(id))?;
        let followed = Followed {
            follow,
            has_ended,
            again: false,
            removed: false,
        };
        self.follows.insert(id.to_owned(), followed);
        Ok(())
    }

    /// Follows some more of the ended containers.
    fn follow_ended(&mut self) -> Result<(), EngineError> {
        let follows = self.follows.values();
        let mut count = follows.filter(|followed| followed.has_ended).count();
        while self.events.is_some() && count < ENDED_AT_ONCE {
            let Some(id) = self.ended.pop_front() else {
                break;
            };
            // It may have been started meanwhile.
            if !self.follows.contains_key(&id) {
                self.follow(&id, true)?;
                count += 1;
            }
        }
        Ok(())
    }

    fn wait(&self) -> Result<Vec<Ready>> {
        let containers = self.follows.values();
        let connections = [&self.receiver]
            .into_iter()
            .chain(self.events.iter().map(|(connection, _)| connection))
            .chain(containers.map(|followed| followed.follow.expected()));
        let mut polled: Vec<PollFd<'_>> = connections
            .map(|connection| PollFd::new(connection, PollFlags::IN))
            .collect();
        match poll(&mut polled, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("poll"),
        }
        let mut polled = polled.iter().map(|polled| !polled.revents().is_empty());
        let receiver = polled.next() == Some(true);
        let events = self.events.is_some() && polled.next() == Some(true);
        let containers = self.follows.keys().zip(polled);
        let containers = containers.filter(|(_, ready)| *ready);
        let mut ready = Vec::new();
        ready.extend(receiver.then_some(Ready::Receiver));
        ready.extend(containers.map(|(id, _)| Ready::Container(id.clone())));
        ready.extend(events.then_some(Ready::Events));
        Ok(ready)
    }

    fn take_events(&mut self) -> Result<()> {
        let Some((connection, events)) = &mut self.events else {
            return Ok(());
        };
        let mut buffer = vec![0; 16 << 10];
        let length = connection.read(&mut buffer)?;
        if length == 0 {
            self.events = None;
            return Ok(());
        }
        events.push(&buffer[..length]);
        let mut happened = Vec::new();
        while let Some(event) = events.next_event()? {
            happened.push(event);
        }
        happened
            .into_iter()
            .try_for_each(|event| self.handle(event))
    }

    fn handle(&mut self, event: Event) -> Result<()> {
        match (&*event.action, self.follows.get_mut(&event.id)) {
            ("create", _) => {
                let inspection = self.engine.inspect(&event.id)?;
                self.created.insert(event.id, inspection);
            }
            ("start", None) => self.follow(&event.id, false)?,
            ("start", Some(followed)) => followed.again = true,
            ("rename", Some(followed)) => followed.follow.rename(event.name),
            ("rename" | "destroy", None) => {
                // The answer has the former name.
                self.created.remove(&event.id);
                if event.action == "destroy" {
                    self.forget(&event.id)?;
                }
            }
            ("destroy", Some(followed)) => followed.removed = true,
            _ => {}
        }
        Ok(())
    }

    /// `forward` has all of a container that is removed.
    fn forget(&mut self, id: &str) -> Result<()> {
        if self.marks.remove(id).is_some() {
            self.receiver.write_all(format!("{id} -\n").as_bytes())?;
        }
        Ok(())
    }

    fn take_output(&mut self, id: &str) -> Result<()> {
        let Some(followed) = self.follows.get_mut(id) else {
            return Ok(());
        };
        let mut out = Vec::new();
        let outcome = followed.follow.take(&mut out);
        if !out.is_empty() {
            self.receiver.write_all(&out)?;
            self.marks.insert(id.to_owned(), followed.follow.mark());
        }
        match outcome {
            Ok(Outcome::GoesOn) => return Ok(()),
            Ok(Outcome::Ended) | Err(EngineError::Refused { status: 404, .. }) => {}
            Err(error) => eprintln!("<4>output of container {id}: {error}"),
        }
        let (again, removed) = (followed.again, followed.removed);
        self.follows.remove(id);
        match (again, removed) {
            (_, true) => self.forget(id),
            (true, false) if self.events.is_some() => Ok(self.follow(id, false)?),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
