//! All that is listened to. A kernel's log that cannot be opened is reported and done without; streams are the only
//! copies of what services say, and are tried again.

use crate::complain;
use crate::desk::Desk;
use crate::handed::{Handed, Stream};
use crate::kmsg::Kmsg;
use crate::pipe::Pipe;
use crate::syslog::Syslog;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::mem;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What the kernel calls each source. Pipes have their place in the list behind these.
const STOP: u64 = 0;
const HANDED: u64 = 1;
const KMSG: u64 = 2;
const SYSLOG: u64 = 3;
const PIPES: u64 = 4;

/// How long a service that writes more than it may is not read: what its pipe holds is what it may write and have
/// dropped meanwhile, which bounds what a flood costs.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a pipe that could not be read is left alone: memory may be there again.
const REST: Duration = Duration::from_secs(1);
/// More than a flood can add while what is there is read.
const ROUNDS: usize = 64;
/// The stream whose descriptor is a socket.
const SYSLOG_STREAM: &str = "syslog";

pub(crate) struct Sources {
    epoll: OwnedFd,
    state: PathBuf,
    kmsg: Option<Kmsg>,
    syslog: Option<Syslog>,
    handed: Option<Handed>,
    pipes: Vec<Option<Pipe>>,
    /// Pipes that are not read before a moment.
    paused: Vec<(Instant, usize)>,
    /// What could not be listened to, the oldest first.
    unheard: Vec<Stream>,
}

/// What a wait ended with.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// It is time to end.
    pub(crate) stop: bool,
    tokens: Vec<u64>,
}

impl Ready {
    /// Whether others would wait if this service waited for more: a socket holds few messages
    /// (`net.unix.max_dgram_qlen`).
    pub(crate) fn is_urgent(&self) -> bool {
        self.tokens.contains(&SYSLOG)
    }
}

impl Sources {
    /// Opens the kernel's log and goes on with descriptor 3; `stop` is readable when it is time to end.
    ///
    /// # Errors
    /// When nothing can be waited for.
    pub(crate) fn open(state: &Path, stop: impl AsFd, handed: Option<Handed>) -> io::Result<Self> {
        let sources = Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            state: state.to_owned(),
            kmsg: tolerate("/dev/kmsg", Kmsg::open(state)),
            syslog: None,
            handed,
            pipes: Vec::new(),
            paused: Vec::new(),
            unheard: Vec::new(),
        };
        sources.listen(stop, STOP)?;
        if let Some(handed) = &sources.handed {
            sources.listen(handed, HANDED)?;
        }
        if let Some(kmsg) = &sources.kmsg {
            sources.listen(kmsg, KMSG)?;
        }
        Ok(sources)
    }

    /// Waits until there is something to read, `patience` at most.
    ///
    /// # Errors
    /// When waiting is not possible.
    pub(crate) fn wait(&self, patience: Option<Duration>) -> io::Result<Ready> {
        let patience = patience.into_iter().chain(self.pause_left()).min();
        let timeout = patience.map(|patience| Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        });
        let mut events = Vec::with_capacity(64);
        let buffer = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(&self.epoll, buffer, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let tokens: Vec<u64> = events
            .iter()
            .map(|event: &epoll::Event| event.data.u64())
            .collect();
        Ok(Ready {
            stop: tokens.contains(&STOP),
            tokens,
        })
    }

    /// Takes what is there of each that is ready, up to a bound; how many bytes that were comes back.
    pub(crate) fn read(&mut self, ready: &Ready, desk: &mut Desk) -> usize {
        self.end_pauses();
        let mut taken = 0;
        for token in &ready.tokens {
            taken += match *token {
                STOP => 0,
                HANDED => {
                    self.accept(desk);
                    0
                }
                KMSG => self.kmsg.as_mut().map_or(0, |kmsg| kmsg.read(desk)),
                SYSLOG => self.syslog.as_mut().map_or(0, |syslog| syslog.read(desk)),
                pipe => self.read_pipe((pipe - PIPES) as usize, desk),
            };
        }
        taken
    }

    /// Whether [`Self::tick`] has anything to do.
    pub(crate) fn is_busy(&self) -> bool {
        !self.unheard.is_empty()
            || self.pipes.iter().flatten().any(Pipe::is_busy)
            || self.kmsg.as_ref().is_some_and(Kmsg::is_busy)
            || self.syslog.as_ref().is_some_and(Syslog::is_busy)
    }

    /// What is to be done once a second.
    pub(crate) fn tick(&mut self, desk: &mut Desk) {
        self.add_unheard(desk);
        for pipe in self.pipes.iter_mut().flatten() {
            pipe.tick(desk);
        }
        if let Some(kmsg) = &mut self.kmsg {
            kmsg.read(desk);
        }
        if let Some(syslog) = &mut self.syslog {
            syslog.tick(desk);
        }
    }

    /// Takes all that is there. The next run goes on with a line that is open, unless nobody is left to end it.
    pub(crate) fn drain(&mut self, desk: &mut Desk) {
        self.accept(desk);
        self.add_unheard(desk);
        for pipe in self.pipes.iter_mut().flatten() {
            pipe.drain(desk);
        }
        if let Some(syslog) = &mut self.syslog {
            exhaust(|| syslog.read(desk));
        }
        if let Some(kmsg) = &mut self.kmsg {
            exhaust(|| kmsg.read(desk));
        }
    }

    fn listen(&self, source: impl AsFd, token: u64) -> io::Result<()> {
        let data = epoll::EventData::new_u64(token);
        Ok(epoll::add(
            &self.epoll,
            source,
            data,
            epoll::EventFlags::IN,
        )?)
    }

    /// Takes what PID 1 has handed over.
    fn accept(&mut self, desk: &mut Desk) {
        while let Some(handed) = &self.handed {
            match handed.receive() {
                Ok(None) => break,
                Ok(Some(handed)) => self.add(handed.streams, desk),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.handed = None,
                Err(error) => complain(&format!("descriptor 3: {error}")),
            }
        }
    }

    /// Listens to streams that PID 1 has handed over.
    pub(crate) fn add(&mut self, streams: Vec<Stream>, desk: &mut Desk) {
        for stream in streams {
            if let Err(error) = self.add_stream(&stream, desk) {
                let Stream { service, name, .. } = &stream;
                complain(&format!("{service} {name}: {error}; trying again"));
                self.unheard.push(stream);
            }
        }
    }

    /// Listens to what could not be listened to before.
    fn add_unheard(&mut self, desk: &mut Desk) {
        for stream in std::mem::take(&mut self.unheard) {
            if self.add_stream(&stream, desk).is_err() {
                self.unheard.push(stream);
            }
        }
    }

    fn add_stream(&mut self, stream: &Stream, desk: &mut Desk) -> io::Result<()> {
        let named =
            |other: &Stream| (&other.service, &other.name) == (&stream.service, &stream.name);
        if self.unheard.iter().any(named) {
            return Err(io::Error::other("an older one of that name comes first"));
        }
        let descriptor = stream.descriptor.try_clone()?;
        match &*stream.name {
            SYSLOG_STREAM => self.add_socket(descriptor),
            name => self.add_pipe(&stream.service, name, descriptor, desk),
        }
    }

    fn add_socket(&mut self, socket: OwnedFd) -> io::Result<()> {
        let syslog = Syslog::new(socket, &self.state)?;
        self.listen(&syslog, SYSLOG)?;
        self.syslog = Some(syslog);
        Ok(())
    }

    /// A stream that is there already is another one of that name by now: what the old one has comes first.
    fn add_pipe(
        &mut self,
        service: &str,
        stream: &str,
        pipe: OwnedFd,
        desk: &mut Desk,
    ) -> io::Result<()> {
        let same = |pipe: &Option<Pipe>| pipe.as_ref().is_some_and(|pipe| pipe.is(service, stream));
        let old = self.pipes.iter().position(same);
        let place = old.or_else(|| self.pipes.iter().position(Option::is_none));
        let place = place.unwrap_or(self.pipes.len());
        self.end(place, desk);
        let mut pipe = Pipe::new(service, stream, pipe, &self.state)?;
        pipe.resume(desk);
        self.listen(&pipe, PIPES + place as u64)?;
        match self.pipes.get_mut(place) {
            Some(free) => *free = Some(pipe),
            None => self.pipes.push(Some(pipe)),
        }
        Ok(())
    }

    fn read_pipe(&mut self, place: usize, desk: &mut Desk) -> usize {
        let Some(Some(pipe)) = self.pipes.get_mut(place) else {
            return 0;
        };
        match pipe.read(desk) {
            Ok(taken) => {
                if taken.flooded {
                    self.pause(place, PAUSE);
                }
                taken.bytes
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                self.end(place, desk);
                0
            }
            Err(_) => {
                self.pause(place, REST);
                0
            }
        }
    }

    fn end(&mut self, place: usize, desk: &mut Desk) {
        let Some(pipe) = self.pipes.get_mut(place).and_then(Option::take) else {
            return;
        };
        // Closing a copy of a descriptor does not end the kernel's interest in it.
        let _ = epoll::delete(&self.epoll, &pipe);
        self.paused.retain(|(_, paused)| *paused != place);
        pipe.close(desk);
    }

    fn pause(&mut self, place: usize, length: Duration) {
        if let Some(Some(pipe)) = self.pipes.get(place) {
            // Without an interest in anything its end would still be told, again and again.
            let _ = epoll::delete(&self.epoll, pipe);
            self.paused.push((Instant::now() + length, place));
        }
    }

    /// How long it is until the first pause ends.
    fn pause_left(&self) -> Option<Duration> {
        let ends = self.paused.iter().map(|(until, _)| *until);
        Some(ends.min()?.saturating_duration_since(Instant::now()))
    }

    fn end_pauses(&mut self) {
        let now = Instant::now();
        let (over, paused) = mem::take(&mut self.paused)
            .into_iter()
            .partition(|(until, _)| *until <= now);
        self.paused = paused;
        for (_, place) in over {
            if let Some(Some(pipe)) = self.pipes.get(place) {
                if self.listen(pipe, PIPES + place as u64).is_err() {
                    self.pause(place, REST);
                }
            }
        }
    }
}

/// Reads until nothing is there, or who never stops talking has had the time of all others.
fn exhaust(mut read: impl FnMut() -> usize) {
    let _ = (0..ROUNDS).any(|_| read() == 0);
}

fn tolerate<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| complain(&format!("{what}: {error}")))
        .ok()
}

#[cfg(test)]
mod tests;
