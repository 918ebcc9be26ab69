//! The socket behind `syslog(3)`: `/dev/log` in services and containers that asked for it. PID 1 keeps it open, as it
//! does the pipes; messages wait in it while this service is not running.
//!
//! Messages are peeked at (`MSG_PEEK`), written, and only then received, in batches. The number of the last one is
//! the ledger's mark, by which messages that were written but not received before a kill are recognised.

mod message;
mod queue;

use crate::desk::Desk;
use crate::ledger::Ledger;
use message::{Message, NAMELESS};
use queue::Queue;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tare_log_format::{Moment, Priority, push};

/// Its ledger.
const LEDGER: &str = "syslog";

pub(crate) struct Syslog {
    queue: Queue,
    ledger: Ledger,
    noted: Duration,
}

impl Syslog {
    /// Continues with `socket`; the ledger is in the folder `state`.
    ///
    /// # Errors
    /// When the ledger cannot be opened.
    pub(crate) fn new(socket: OwnedFd, state: &Path) -> io::Result<Self> {
        let mut syslog = Self {
            queue: Queue::new(socket),
            ledger: Ledger::open(&state.join(LEDGER))?,
            noted: Duration::ZERO,
        };
        syslog.take_written();
        Ok(syslog)
    }

    /// Receives what was written before, up to the last message of that batch.
    fn take_written(&mut self) {
        let written = self.ledger.mark().done;
        if self.queue.look() {
            let mut batch = self.queue.batch();
            let last = batch.position(|(found, _)| found.number == written);
            self.queue.take(last.map_or(0, |last| last + 1));
        }
    }

    /// Handles the available messages, up to a bound. Returns the number of bytes read.
    pub(crate) fn read(&mut self, desk: &mut Desk) -> usize {
        if !self.queue.look() {
            return 0;
        }
        let mut after = self.ledger.mark();
        let (mut count, mut taken) = (0, 0);
        desk.output.clear();
        desk.note_dropped(NAMELESS, &mut after, &mut self.noted);
        for (found, bytes) in self.queue.batch() {
            after.done = found.number;
            after.dropped += keep(found.sent, bytes, desk);
            count += 1;
            taken += bytes.len();
        }
        desk.store.commit(&mut self.ledger, after, &desk.output);
        self.queue.take(count);
        taken
    }

    /// Whether [`Self::tick`] has anything to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.ledger.mark().dropped > 0
    }

    /// Logs what was dropped.
    pub(crate) fn tick(&mut self, desk: &mut Desk) {
        let mut after = self.ledger.mark();
        desk.output.clear();
        desk.note_dropped(NAMELESS, &mut after, &mut self.noted);
        if after != self.ledger.mark() {
            desk.store.commit(&mut self.ledger, after, &desk.output);
        }
    }
}

/// Writes a message. Returns how many of its lines were dropped.
fn keep(sent: Duration, bytes: &[u8], desk: &mut Desk) -> u64 {
    let message = Message::parse(bytes);
    let stamp = desk.store.stamp(at(sent, desk.now));
    let bucket = desk.buckets.of(NAMELESS, desk.now.since_boot);
    let mut dropped = 0;
    for line in message.text.split(|byte| *byte == b'\n') {
        if bucket.take(line.len()) {
            let name = [message.tag, "syslog"];
            let priority = Priority::of(message.priority);
            push(&mut desk.output, &stamp, priority, name, line);
        } else {
            dropped += 1;
        }
    }
    dropped
}

impl AsFd for Syslog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }
}

/// The moment at which the wall clock showed `sent`, unless it has been set since.
fn at(sent: Duration, now: Moment) -> Moment {
    let wall = SystemTime::UNIX_EPOCH + sent;
    let ago = now.wall.duration_since(wall).unwrap_or_default();
    Moment {
        wall,
        since_boot: now.since_boot.saturating_sub(ago),
    }
}

#[cfg(test)]
mod tests;
