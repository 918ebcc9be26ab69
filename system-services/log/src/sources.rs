//! All that is listened to. A source that cannot be opened is reported and done without.

use crate::complain;
use crate::desk::Desk;
use crate::handed::{Handed, Streams};
use crate::kmsg::Kmsg;
use crate::pipe::Pipe;
use crate::syslog::Syslog;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
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
        let patience = match self.paused.first() {
            Some(_) => Some(patience.map_or(PAUSE, |patience| patience.min(PAUSE))),
            None => patience,
        };
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
        self.pipes.iter().flatten().any(Pipe::is_busy)
            || self.kmsg.as_ref().is_some_and(Kmsg::is_busy)
            || self.syslog.as_ref().is_some_and(Syslog::is_busy)
    }

    /// What is to be done once a second.
    pub(crate) fn tick(&mut self, desk: &mut Desk) {
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

    /// Takes all that is there and ends open lines: nobody will read on.
    pub(crate) fn drain(&mut self, desk: &mut Desk) {
        self.accept(desk);
        for pipe in self.pipes.iter_mut().flatten() {
            pipe.drain(desk);
        }
        if let Some(syslog) = &mut self.syslog {
            while syslog.read(desk) > 0 {}
        }
        if let Some(kmsg) = &mut self.kmsg {
            while kmsg.read(desk) > 0 {}
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
                Ok(Some(streams)) => self.add(streams, desk),
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.handed = None,
                Err(error) => complain(&format!("descriptor 3: {error}")),
            }
        }
    }

    /// Listens to streams that PID 1 has handed over.
    pub(crate) fn add(&mut self, handed: Streams, desk: &mut Desk) {
        for (stream, descriptor) in handed.streams {
            let name = format!("{} {stream}", handed.service);
            let added = match &*stream {
                SYSLOG_STREAM => self.add_socket(descriptor),
                stream => self.add_pipe(&handed.service, stream, descriptor, desk),
            };
            tolerate(&name, added);
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
                    self.pause(place);
                }
                taken.bytes
            }
            Err(error) => {
                if error.kind() != ErrorKind::BrokenPipe {
                    complain(&format!("a pipe: {error}"));
                }
                self.end(place, desk);
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
        pipe.close(desk);
    }

    fn pause(&mut self, place: usize) {
        self.interest(place, epoll::EventFlags::empty());
        self.paused.push((Instant::now() + PAUSE, place));
    }

    fn end_pauses(&mut self) {
        let now = Instant::now();
        let over: Vec<usize> = self
            .paused
            .extract_if(.., |(until, _)| *until <= now)
            .map(|(_, place)| place)
            .collect();
        for place in over {
            self.interest(place, epoll::EventFlags::IN);
        }
    }

    fn interest(&self, place: usize, flags: epoll::EventFlags) {
        if let Some(Some(pipe)) = self.pipes.get(place) {
            let data = epoll::EventData::new_u64(PIPES + place as u64);
            // It was added, and a pipe's interest can always be changed.
            let _ = epoll::modify(&self.epoll, pipe, data, flags);
        }
    }
}

fn tolerate<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| complain(&format!("{what}: {error}")))
        .ok()
}
