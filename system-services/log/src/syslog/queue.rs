//! Messages in the socket: peeked at in batches, and received once they are logged.

use crate::hash::fnv1a;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, recvmsg};
use std::io::{self, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The longest message that is accepted; the rest of a longer one is dropped.
const LONGEST: usize = 8192;
/// The most messages per batch, and their bytes, so that a flood does not delay others.
const BATCH: usize = 256;
const BYTES: usize = 64 << 10;

/// A socket, and the batch of messages that was peeked at last.
pub(super) struct Queue {
    socket: OwnedFd,
    bytes: Vec<u8>,
    batch: Vec<Found>,
}

/// A message that is still in the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its range in the bytes of the batch.
    begin: usize,
    end: usize,
    /// When the kernel received it, since 1970.
    pub(super) sent: Duration,
    /// Derived from its text and the time it was sent; no two are the same.
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

    /// Peeks at the next messages; false if there is none. Empty ones are skipped: the kernel shows one to the first
    /// peek only (`__skb_try_recv_from_queue` in net/core/datagram.c).
    pub(super) fn look(&mut self) -> bool {
        self.batch.clear();
        if peek_from(self.socket.as_fd(), 0).is_err() {
            return false;
        }
        let mut begin = 0;
        while self.batch.len() < BATCH {
            let Some(room) = self.bytes.get_mut(begin..begin + LONGEST) else {
                break;
            };
            let Some((length, sent)) = look(self.socket.as_fd(), room) else {
                break;
            };
            if length == 0 {
                continue;
            }
            let end = begin + length;
            let number = number(sent, &self.bytes[begin..end]);
            self.batch.push(Found {
                begin,
                end,
                sent,
                number,
            });
            begin = end;
            // The next peek would return the rest of a longer message.
            if length == LONGEST {
                break;
            }
        }
        if self.batch.is_empty() {
            self.take_empty();
        }
        !self.batch.is_empty()
    }

    /// Receives the empty messages before all others, up to a bound, because nothing else does if no other message
    /// comes.
    fn take_empty(&self) {
        let socket = self.socket.as_fd();
        // Without an offset the kernel shows the first message, whether or not it was peeked at.
        if peek_from(socket, -1).is_err() {
            return;
        }
        for _ in 0..BATCH {
            // New messages are queued after it.
            if !is_empty(socket) || receive(socket, 1).is_err() {
                break;
            }
        }
    }

    /// The messages that were peeked at, with their text.
    pub(super) fn batch(&self) -> impl Iterator<Item = (&Found, &[u8])> {
        let text = |found: &Found| &self.bytes[found.begin..found.end];
        self.batch.iter().map(move |found| (found, text(found)))
    }

    /// Receives the first `count` messages that were peeked at, and the empty ones before each.
    pub(super) fn take(&self, mut count: usize) {
        // They are there, because no other process receives them.
        while count > 0 {
            let Ok(taken) = receive(self.socket.as_fd(), count) else {
                break;
            };
            count -= taken;
        }
    }
}

impl AsFd for Queue {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Makes the next peeks advance from message to message, beginning `offset` bytes into the queue; with a negative
/// `offset` each shows the first message (`SO_PEEK_OFF`, socket(7)).
fn peek_from(socket: BorrowedFd<'_>, offset: libc::c_int) -> io::Result<()> {
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

/// Copies the next message to `bytes`. Returns its length and when it was sent.
fn look(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Option<(usize, Duration)> {
    let mut control = Control::default();
    let room = control.as_flattened_mut();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    let mut buffers = [IoSliceMut::new(bytes)];
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(room), flags);
    let length = received.ok()?.bytes;
    Some((length, sent(control).unwrap_or_default()))
}

/// The control data of a message: a length, a level and a kind, and seconds and nanoseconds (cmsg(3),
/// `SO_TIMESTAMPNS`).
///
/// There is no room for descriptors after the time: a sender could otherwise open descriptors in this process.
type Control = [[u8; 8]; 4];

/// When a message was sent. The kernel puts that first (`unix_dgram_recvmsg`), whether or not the rest was truncated.
fn sent([_, kind, seconds, nanoseconds]: Control) -> Option<Duration> {
    let time = [libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS].map(i32::to_ne_bytes);
    let seconds = u64::from_ne_bytes(seconds);
    let nanoseconds = u64::from_ne_bytes(nanoseconds).try_into().ok()?;
    (kind == time.as_flattened()).then(|| Duration::new(seconds, nanoseconds))
}

/// Whether there is a next message and it is empty.
fn is_empty(socket: BorrowedFd<'_>) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut [], None, flags);
    received.is_ok_and(|received| received.bytes == 0)
}

/// Receives the first `most` messages. Returns how many of them are not empty.
///
/// # Errors
/// When there is none.
fn receive(socket: BorrowedFd<'_>, most: usize) -> nix::Result<usize> {
    let mut headers = MultiHeaders::<()>::preallocate(most, None);
    let mut nowhere: Vec<[IoSliceMut<'_>; 0]> = (0..most).map(|_| []).collect();
    // With MSG_TRUNC the length is that of the message, not of the buffer.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let fd = socket.as_raw_fd();
    let received = recvmmsg(fd, &mut headers, nowhere.iter_mut(), flags, None)?;
    Ok(received.filter(|message| message.bytes > 0).count())
}

/// A hash of the time and the text.
fn number(sent: Duration, bytes: &[u8]) -> u64 {
    let time = sent.as_nanos().to_le_bytes();
    fnv1a(time.iter().chain(bytes))
}
