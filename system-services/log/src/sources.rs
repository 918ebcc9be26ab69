//! All sources. If the kernel's log cannot be opened, that is reported and the service runs without it. Streams are
//! the only copies of what services write, so opening them is retried.

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

/// The token of each source in epoll. Pipes are numbered by their place in the list, after these.
const STOP: u64 = 0;
const HANDED: u64 = 1;
const KMSG: u64 = 2;
const SYSLOG: u64 = 3;
const PIPES: u64 = 4;

/// How long a service that exceeds its rate is not read. Meanwhile it can write and have dropped only what its pipe
/// holds, which bounds the cost of a flood.
const PAUSE: Duration = Duration::from_millis(20);
/// How long a pipe that could not be read is left alone: there may be memory again by then.
const REST: Duration = Duration::from_secs(1);
/// More than a flood can add while pending data is read.
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
    /// Pipes that are not read before a given time.
    paused: Vec<(Instant, usize)>,
    /// Streams that could not be listened to, oldest first.
    unheard: Vec<Stream>,
}

/// The result of a wait.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    /// It is time to exit.
    pub(crate) stop: bool,
    tokens: Vec<u64>,
}

impl Ready {
    /// Whether callers would block if this service waited for more: a socket holds few messages
    /// (`net.unix.max_dgram_qlen`).
    pub(crate) fn is_urgent(&self) -> bool {
        self.tokens.contains(&SYSLOG)
    }
}

impl Sources {
    /// Opens the kernel's log and continues with descriptor 3; `stop` is readable when it is time to exit.
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

    /// Waits until there is something to read, for at most `patience`.
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

    /// Reads from each source that is ready, up to a bound. Returns the number of bytes read.
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

    /// Does what is due once a second.
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

    /// Reads everything. The next run continues an incomplete line, unless no writer is left to end it.
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

    /// Accepts the streams that PID 1 has passed.
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

    /// Listens to streams that PID 1 has passed.
    pub(crate) fn add(&mut self, streams: Vec<Stream>, desk: &mut Desk) {
        for stream in streams {
            if let Err(error) = self.add_stream(&stream, desk) {
                let Stream { service, name, .. } = &stream;
                complain(&format!("{service} {name}: {error}; trying again"));
                self.unheard.push(stream);
            }
        }
    }

    /// Retries the streams that could not be listened to before.
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

    /// If there is a stream of this name, it has been replaced by now; the old one's data comes first.
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
        // Closing one copy of a descriptor does not remove it from epoll.
        let _ = epoll::delete(&self.epoll, &pipe);
        self.paused.retain(|(_, paused)| *paused != place);
        pipe.close(desk);
    }

    fn pause(&mut self, place: usize, length: Duration) {
        if let Some(Some(pipe)) = self.pipes.get(place) {
            // Even without any event of interest, epoll would report its hang-up again and again.
            let _ = epoll::delete(&self.epoll, pipe);
            self.paused.push((Instant::now() + length, place));
        }
    }

    /// How long until the first pause ends.
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

/// Reads until nothing is left, or until a writer that never stops has used up its rounds.
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
