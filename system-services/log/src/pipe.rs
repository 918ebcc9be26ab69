//! One stream of one service: a pipe that PID 1 keeps open, and whose read end this service has a copy of.

use crate::complain;
use crate::cut::{cut, prioritised};
use crate::desk::Desk;
use crate::ledger::{Ledger, Mark};
use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes per read: as much as a pipe holds, so that a service that never stops writing does not delay others.
const AT_ONCE: usize = 64 << 10;
/// Memory that is freed without waiting for a tick, in bytes.
const FREED_AT_ONCE: u64 = 256 << 10;

/// A stream.
pub(crate) struct Pipe {
    service: String,
    stream: String,
    pipe: OwnedFd,
    path: PathBuf,
    /// Created with the first output.
    ledger: Option<Ledger>,
    /// The number of bytes read from the pipe.
    given: u64,
    /// Up to where memory has been freed.
    freed: u64,
    /// `given` at the last tick.
    seen: u64,
    /// When dropped lines were last logged.
    noted: Duration,
    /// Whether the last read failed.
    failing: bool,
}

/// The result of reading a pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) bytes: usize,
    /// Lines were dropped.
    pub(crate) flooded: bool,
}

impl Pipe {
    /// The stream `stream` of `service`, whose ledger is in the folder `state`.
    ///
    /// # Errors
    /// When an earlier run left a ledger that cannot be read.
    pub(crate) fn new(
        service: &str,
        stream: &str,
        pipe: OwnedFd,
        state: &Path,
    ) -> io::Result<Self> {
        let path = state.join(format!("{service}.{stream}"));
        let ledger = path.exists().then(|| Ledger::open(&path)).transpose()?;
        let given = ledger.as_ref().map_or(Ok(0), Ledger::given)?;
        Ok(Self {
            service: service.to_owned(),
            stream: stream.to_owned(),
            pipe,
            path,
            ledger,
            given,
            freed: 0,
            // This run has not seen an incomplete line yet.
            seen: u64::MAX,
            noted: Duration::ZERO,
            failing: false,
        })
    }

    /// Writes what an earlier run read and did not write.
    pub(crate) fn resume(&mut self, desk: &mut Desk) {
        self.write(desk, false);
    }

    /// Whether this is the stream `stream` of `service`.
    pub(crate) fn is(&self, service: &str, stream: &str) -> bool {
        self.service == service && self.stream == stream
    }

    /// Reads what is available.
    ///
    /// # Errors
    /// `BrokenPipe` when no process has the other end open. After any other error, such as a lack of memory for the
    /// ledger, the bytes are still in the pipe.
    pub(crate) fn read(&mut self, desk: &mut Desk) -> io::Result<Taken> {
        let bytes = match self.fill() {
            Ok(0) => return Err(ErrorKind::BrokenPipe.into()),
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) => return Err(self.fail(error)),
        };
        self.failing = false;
        let flooded = bytes > 0 && self.write(desk, false);
        if self.done() - self.freed >= FREED_AT_ONCE {
            self.free();
        }
        Ok(Taken { bytes, flooded })
    }

    /// Ends a line that has been incomplete for a while, frees memory, and logs what was dropped.
    pub(crate) fn tick(&mut self, desk: &mut Desk) {
        if !self.is_busy() {
            return;
        }
        self.write(desk, self.seen == self.given && !self.failing);
        self.seen = self.given;
        self.free();
    }

    /// Whether [`Self::tick`] has anything to do.
    pub(crate) fn is_busy(&self) -> bool {
        let mark = self.mark();
        mark.dropped > 0 || self.given > mark.done || self.freed < mark.done
    }

    /// Reads everything. An incomplete line is ended if no process has the other end open; otherwise it stays in the
    /// ledger, where the next run continues it.
    pub(crate) fn drain(&mut self, desk: &mut Desk) {
        let ended = self.take_all(desk);
        self.write_rest(desk, ended);
    }

    /// Reads the rest of a stream that is gone for good.
    pub(crate) fn close(mut self, desk: &mut Desk) {
        self.take_all(desk);
        self.write_rest(desk, true);
        // If the ledger stays, the next stream continues it, which is right as well.
        let _ = fs::remove_file(&self.path);
    }

    /// Reads everything. True if no process has the other end open.
    fn take_all(&mut self, desk: &mut Desk) -> bool {
        /// More than a flood can add while it is read.
        const ROUNDS: usize = 64;
        for _ in 0..ROUNDS {
            match self.read(desk) {
                Ok(taken) if taken.bytes > 0 => {}
                Ok(_) => return false,
                Err(error) => return error.kind() == ErrorKind::BrokenPipe,
            }
        }
        false
    }

    /// Writes what is left, and logs how much was dropped.
    fn write_rest(&mut self, desk: &mut Desk, last: bool) {
        self.noted = Duration::ZERO;
        self.write(desk, last);
    }

    /// Reports only the first of several failures in a row.
    fn fail(&mut self, error: io::Error) -> io::Error {
        if !std::mem::replace(&mut self.failing, true) {
            complain(&format!("{}: {error}; trying again", self.path.display()));
        }
        error
    }

    fn mark(&self) -> Mark {
        self.ledger.as_ref().map_or(Mark::default(), Ledger::mark)
    }

    fn done(&self) -> u64 {
        self.mark().done
    }

    /// Moves bytes from the pipe to the ledger.
    fn fill(&mut self) -> io::Result<usize> {
        let ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => Ledger::open(&self.path)?,
        };
        let ledger = self.ledger.insert(ledger);
        let moved = ledger.take(&self.pipe, self.given, AT_ONCE)?;
        self.given += moved as u64;
        Ok(moved)
    }

    /// Writes the complete lines and, if `last`, the incomplete one. True if some were dropped.
    fn write(&mut self, desk: &mut Desk, last: bool) -> bool {
        let Some(ledger) = &mut self.ledger else {
            return false;
        };
        let before = ledger.mark();
        desk.input.resize((self.given - before.done) as usize, 0);
        if let Err(error) = ledger.read(&mut desk.input, before.done) {
            complain(&format!("{}: {error}", self.path.display()));
            return false;
        }
        let mut after = before;
        desk.output.clear();
        desk.note_dropped(&self.service, &mut after, &mut self.noted);
        let kept = after.dropped;
        let (name, input) = (
            [&*self.service, &*self.stream],
            std::mem::take(&mut desk.input),
        );
        let mut page = desk.page(&self.service);
        after.done += cut(&input, last, |line| {
            let (priority, text) = prioritised(line);
            after.dropped += u64::from(!page.write(priority, name, text));
        }) as u64;
        desk.input = input;
        desk.store.commit(ledger, after, &desk.output);
        after.dropped > kept
    }

    fn free(&mut self) {
        if let Some(ledger) = &self.ledger {
            // What cannot be freed now is freed next time.
            let _ = ledger.free();
            self.freed = ledger.mark().done;
        }
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

#[cfg(test)]
mod tests;
