//! All that is listened to. A source that cannot be opened is reported and done without.

use crate::kmsg::Kmsg;
use crate::store::Store;
use crate::streams::{Pipe, Streams};
use crate::syslog::Syslog;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

pub(crate) struct Sources {
    kmsg: Option<Kmsg>,
    syslog: Option<Syslog>,
    streams: Option<Streams>,
    pipes: Vec<Pipe>,
}

impl Sources {
    /// Opens the kernel's log, the socket in the directory `shared` and descriptor 3.
    pub(crate) fn open(shared: &Path) -> Self {
        Self {
            kmsg: tolerate("/dev/kmsg", Kmsg::open(shared)),
            syslog: tolerate("syslog socket", Syslog::open(shared)),
            streams: Streams::take(),
            pipes: Vec::new(),
        }
    }

    /// What to wait for.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let kmsg = self.kmsg.iter().map(AsFd::as_fd);
        let syslog = self.syslog.iter().map(AsFd::as_fd);
        let streams = self.streams.iter().map(AsFd::as_fd);
        let pipes = self.pipes.iter().map(AsFd::as_fd);
        kmsg.chain(syslog).chain(streams).chain(pipes)
    }

    /// Takes what is there of each, up to a bound; false if there may be more.
    pub(crate) fn read(&mut self, store: &mut Store) -> bool {
        self.accept();
        let mut empty = self.kmsg.as_mut().is_none_or(|kmsg| kmsg.read(store));
        empty &= self.syslog.as_ref().is_none_or(|syslog| syslog.read(store));
        self.pipes.retain_mut(|pipe| match pipe.read(store) {
            Ok(pipe_empty) => {
                empty &= pipe_empty;
                true
            }
            Err(_) => {
                pipe.close(store);
                false
            }
        });
        empty
    }

    /// Takes the streams that PID 1 has handed over.
    fn accept(&mut self) {
        while let Some(streams) = &self.streams {
            match streams.receive() {
                Ok(Some(pipe)) => self.pipes.push(pipe),
                Ok(None) => return,
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.streams = None,
                Err(error) => eprintln!("descriptor 3: {error}"),
            }
        }
    }

    /// Takes all that is there and ends open lines: nobody will read on.
    pub(crate) fn drain(&mut self, store: &mut Store) {
        /// More than a flood can add while it is read.
        const ROUNDS: usize = 64;
        for _ in 0..ROUNDS {
            if self.read(store) {
                break;
            }
        }
        for pipe in &mut self.pipes {
            pipe.close(store);
        }
    }

    /// Ends lines that have been open for a while.
    pub(crate) fn end_lines(&mut self, store: &mut Store) {
        for pipe in &mut self.pipes {
            pipe.end_line(store);
        }
    }

    pub(crate) fn has_open_line(&self) -> bool {
        self.pipes.iter().any(Pipe::has_open_line)
    }

    /// Keeps positions for after a restart.
    pub(crate) fn remember(&self) {
        if let Some(kmsg) = &self.kmsg {
            kmsg.remember();
        }
    }
}

fn tolerate<T>(what: &str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| eprintln!("{what}: {error}"))
        .ok()
}
