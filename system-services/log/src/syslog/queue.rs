//! Messages in the socket: looked at in batches, and taken once they are kept.

use crate::hash::fnv1a;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, MultiHeaders, recvmmsg, recvmsg};
use nix::sys::time::TimeSpec;
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The longest message that is taken; the rest of a longer one is dropped.
const LONGEST: usize = 8192;
/// Messages looked at in one go, at most, and their bytes: a flood does not keep others waiting.
const BATCH: usize = 256;
const BYTES: usize = 64 << 10;

/// A socket, and the batch of messages that was looked at last.
pub(super) struct Queue {
    socket: OwnedFd,
    bytes: Vec<u8>,
    batch: Vec<Found>,
}

/// A message that is still in the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Where it is among the bytes of the batch.
    begin: usize,
    end: usize,
    /// When the kernel took it, since 1970.
    pub(super) sent: Duration,
    /// Made of what it says and when it was sent: no two have the same.
    pub(super) number: u64,
}

impl Queue {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            bytes: vec![0; BYTES],
            batch: Vec::new(),
        }
    }

    /// Looks at the next messages; false if there is none.
    pub(super) fn look(&mut self) -> bool {
        self.batch.clear();
        if peek_from_start(self.socket.as_fd()).is_err() {
            return false;
        }
        let mut begin = 0;
        while self.batch.len() < BATCH
            && let Some(room) = self.bytes.get_mut(begin..begin + LONGEST)
            && let Some((length, sent)) = look(self.socket.as_fd(), room)
        {
            let end = begin + length;
            let number = number(sent, &self.bytes[begin..end]);
            self.batch.push(Found {
                begin,
                end,
                sent,
                number,
            });
            begin = end;
            // Of a longer message the next look would find the rest.
            if length == LONGEST {
                break;
            }
        }
        !self.batch.is_empty()
    }

    /// The messages that were looked at, and what each says.
    pub(super) fn batch(&self) -> impl Iterator<Item = (&Found, &[u8])> {
        let text = |found: &Found| &self.bytes[found.begin..found.end];
        self.batch.iter().map(move |found| (found, text(found)))
    }

    /// Takes the first `count` messages that were looked at.
    pub(super) fn take(&self, count: usize) {
        let mut headers = MultiHeaders::<()>::preallocate(count, None);
        let mut nowhere: Vec<[IoSliceMut<'_>; 0]> = (0..count).map(|_| []).collect();
        let socket = self.socket.as_raw_fd();
        // They are there: nobody else takes them.
        let _ = recvmmsg(
            socket,
            &mut headers,
            nowhere.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        );
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Lets the next looks go from message to message, beginning with the first (`SO_PEEK_OFF`, socket(7)).
fn peek_from_start(socket: BorrowedFd<'_>) -> io::Result<()> {
    let offset: libc::c_int = 0;
    let size = size_of_val(&offset) as libc::socklen_t;
    // SAFETY: the kernel reads `size` bytes of `offset`, which lives until the call returns.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEEK_OFF,
            (&raw const offset).cast(),
            size,
        )
    };
    Ok(Errno::result(set).map(drop)?)
}

/// Copies the next message to `bytes`; its length and when it was sent come back.
fn look(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Option<(usize, Duration)> {
    let mut space = nix::cmsg_space!(TimeSpec);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    let mut buffers = [IoSliceMut::new(bytes)];
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(&mut space), flags);
    let received = received.ok()?;
    let mut messages = received.cmsgs().ok()?;
    let sent = messages.find_map(|message| match message {
        ControlMessageOwned::ScmTimestampns(time) => Some(Duration::from(time)),
        _ => None,
    });
    Some((received.bytes, sent.unwrap_or_default()))
}

/// A number of when and what.
fn number(sent: Duration, bytes: &[u8]) -> u64 {
    let time = sent.as_nanos().to_le_bytes();
    fnv1a(time.iter().chain(bytes))
}
