//! Messages in the socket: looked at in batches, and taken once they are kept.

use crate::hash::fnv1a;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, recvmsg};
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

    /// Looks at the next messages; false if there is none. Empty ones say nothing and are passed over: the kernel shows
    /// one to the first look alone (`__skb_try_recv_from_queue` in net/core/datagram.c).
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
            // Of a longer message the next look would find the rest.
            if length == LONGEST {
                break;
            }
        }
        if self.batch.is_empty() {
            self.take_empty();
        }
        !self.batch.is_empty()
    }

    /// Takes the empty messages before all others, up to a bound: nothing else does where nothing else comes.
    fn take_empty(&self) {
        let socket = self.socket.as_fd();
        // Without an offset the kernel shows the first message, whether it was looked at or not.
        if peek_from(socket, -1).is_err() {
            return;
        }
        for _ in 0..BATCH {
            // What comes meanwhile comes behind it.
            if !is_empty(socket) || receive(socket, 1).is_err() {
                break;
            }
        }
    }

    /// The messages that were looked at, and what each says.
    pub(super) fn batch(&self) -> impl Iterator<Item = (&Found, &[u8])> {
        let text = |found: &Found| &self.bytes[found.begin..found.end];
        self.batch.iter().map(move |found| (found, text(found)))
    }

    /// Takes the first `count` messages that were looked at, and the empty ones before each.
    pub(super) fn take(&self, mut count: usize) {
        // They are there: nobody else takes them.
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

/// Lets the next looks go from message to message, beginning `offset` bytes into the queue; if that is negative each is
/// at the first message (`SO_PEEK_OFF`, socket(7)).
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

/// Copies the next message to `bytes`; its length and when it was sent come back.
fn look(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Option<(usize, Duration)> {
    let mut control = Control::default();
    let room = control.as_flattened_mut();
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK;
    let mut buffers = [IoSliceMut::new(bytes)];
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut buffers, Some(room), flags);
    let length = received.ok()?.bytes;
    Some((length, sent(control).unwrap_or_default()))
}

/// What comes with a message: a length, a level and a kind, and seconds and nanoseconds (cmsg(3), `SO_TIMESTAMPNS`).
///
/// There is no room for descriptors behind the time, or whoever sends some would open them here.
type Control = [[u8; 8]; 4];

/// When a message was sent. The kernel puts that first (`unix_dgram_recvmsg`), whether or not the rest was cut off.
fn sent([_, kind, seconds, nanoseconds]: Control) -> Option<Duration> {
    let time = [libc::SOL_SOCKET, libc::SCM_TIMESTAMPNS].map(i32::to_ne_bytes);
    let seconds = u64::from_ne_bytes(seconds);
    let nanoseconds = u64::from_ne_bytes(nanoseconds).try_into().ok()?;
    (kind == time.as_flattened()).then(|| Duration::new(seconds, nanoseconds))
}

/// Whether the next message is there and empty.
fn is_empty(socket: BorrowedFd<'_>) -> bool {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut [], None, flags);
    received.is_ok_and(|received| received.bytes == 0)
}

/// Takes the first `most` messages; how many of them are not empty comes back.
///
/// # Errors
/// When there is none.
fn receive(socket: BorrowedFd<'_>, most: usize) -> nix::Result<usize> {
    let mut headers = MultiHeaders::<()>::preallocate(most, None);
    let mut nowhere: Vec<[IoSliceMut<'_>; 0]> = (0..most).map(|_| []).collect();
    // A message has its own length, wherever it goes.
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC;
    let fd = socket.as_raw_fd();
    let received = recvmmsg(fd, &mut headers, nowhere.iter_mut(), flags, None)?;
    Ok(received.filter(|message| message.bytes > 0).count())
}

/// A number of when and what.
fn number(sent: Duration, bytes: &[u8]) -> u64 {
    let time = sent.as_nanos().to_le_bytes();
    fnv1a(time.iter().chain(bytes))
}
