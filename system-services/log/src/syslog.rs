//! The socket behind `syslog(3)`, `/dev/log` where a service or container asked for it. PID 1 keeps it, as it keeps
//! the pipes: messages wait in it while this service does not run.
//!
//! A message is looked at (`MSG_PEEK`), written, and only then taken. Its number, made of what it says and when
//! the kernel took it (`SO_TIMESTAMPNS`), is the ledger's mark: a message that was written but not taken when this
//! process was killed is known by it.

mod message;

use crate::desk::Desk;
use crate::hash::fnv1a;
use crate::ledger::{Ledger, Mark};
use message::{Message, NAMELESS};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::time::TimeSpec;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tare_log::{Moment, Priority, push};

/// Its ledger.
const LEDGER: &str = "syslog";
/// The longest message that is taken; the rest of a longer one is dropped.
const LONGEST: usize = 8192;
/// Messages read at once, so that a flood does not keep others waiting.
const AT_ONCE: usize = 256;

/// The socket.
pub(crate) struct Syslog {
    socket: OwnedFd,
    ledger: Ledger,
    noted: Duration,
}

impl Syslog {
    /// Goes on with `socket`; the ledger is in the folder `state`.
    ///
    /// # Errors
    /// When the ledger cannot be opened.
    pub(crate) fn new(socket: OwnedFd, state: &Path) -> io::Result<Self> {
        let syslog = Self {
            socket,
            ledger: Ledger::open(&state.join(LEDGER))?,
            noted: Duration::ZERO,
        };
        let mut bytes = [0; LONGEST];
        let written = syslog.ledger.mark().done;
        if syslog
            .receive(&mut bytes, true)
            .is_some_and(|found| found.number == written)
        {
            syslog.receive(&mut bytes, false);
        }
        Ok(syslog)
    }

    /// Takes the messages that are there, up to a bound; how many bytes they have comes back.
    pub(crate) fn read(&mut self, desk: &mut Desk) -> usize {
        let mut bytes = [0; LONGEST];
        let mut taken = 0;
        for _ in 0..AT_ONCE {
            let Some(found) = self.receive(&mut bytes, true) else {
                break;
            };
            taken += found.length.max(1);
            self.keep(&found, &bytes[..found.length], desk);
            self.receive(&mut bytes, false);
        }
        taken
    }

    /// Whether [`Self::tick`] has anything to do.
    pub(crate) fn is_busy(&self) -> bool {
        self.ledger.mark().dropped > 0
    }

    /// Tells what was dropped.
    pub(crate) fn tick(&mut self, desk: &mut Desk) {
        let mut after = self.ledger.mark();
        desk.output.clear();
        desk.note_dropped(NAMELESS, &mut after, &mut self.noted);
        if after != self.ledger.mark() {
            desk.store.commit(&mut self.ledger, after, &desk.output);
        }
    }

    fn keep(&mut self, found: &Found, bytes: &[u8], desk: &mut Desk) {
        let message = Message::parse(bytes);
        let mut after = Mark {
            done: found.number,
            ..self.ledger.mark()
        };
        desk.output.clear();
        desk.note_dropped(NAMELESS, &mut after, &mut self.noted);
        let stamp = desk.store.stamp(at(found.sent, desk.now));
        let bucket = desk.buckets.of(NAMELESS, desk.now.since_boot);
        for line in message.text.split(|byte| *byte == b'\n') {
            if bucket.take(line.len()) {
                let priority = Priority::of(message.priority);
                push(
                    &mut desk.output,
                    &stamp,
                    priority,
                    [message.tag, "syslog"],
                    line,
                );
            } else {
                after.dropped += 1;
            }
        }
        desk.store.commit(&mut self.ledger, after, &desk.output);
    }

    /// The next message, which stays there if it is only looked at.
    fn receive(&self, bytes: &mut [u8], look: bool) -> Option<Found> {
        let mut space = nix::cmsg_space!(TimeSpec);
        let mut flags = MsgFlags::MSG_DONTWAIT;
        flags.set(MsgFlags::MSG_PEEK, look);
        let mut buffers = [IoSliceMut::new(bytes)];
        let received = recvmsg::<()>(
            self.socket.as_raw_fd(),
            &mut buffers,
            Some(&mut space),
            flags,
        )
        .ok()?;
        let length = received.bytes;
        let mut messages = received.cmsgs().ok()?;
        let sent = messages.find_map(|message| match message {
            ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
            _ => None,
        });
        let sent = sent.unwrap_or_default();
        let number = number(sent, &bytes[..length]);
        Some(Found {
            length,
            sent,
            number,
        })
    }
}

impl AsFd for Syslog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A message in the socket.
struct Found {
    length: usize,
    /// When the kernel took it, since 1970.
    sent: Duration,
    number: u64,
}

/// The moment at which the wall clock showed `sent`, as far as it has not been set since.
fn at(sent: Duration, now: Moment) -> Moment {
    let wall = SystemTime::UNIX_EPOCH + sent;
    let ago = now.wall.duration_since(wall).unwrap_or_default();
    Moment {
        wall,
        since_boot: now.since_boot.saturating_sub(ago),
    }
}

/// A number of when and what.
fn number(sent: Duration, bytes: &[u8]) -> u64 {
    let time = sent.as_nanos().to_le_bytes();
    fnv1a(time.iter().chain(bytes))
}

#[cfg(test)]
mod tests;
