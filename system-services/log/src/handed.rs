//! Descriptor 3, over which PID 1 passes the descriptors it holds: one message per service,
//! `{"service":"ssh","streams":["stdout","stderr"]}`, with a descriptor for each stream. The first message is queued
//! before this service starts; it carries the socket behind `/dev/log` and the id of this boot.

use crate::complain;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Deserialize;
use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// The maximum number of descriptors in one message.
const MOST: usize = 4;

/// Descriptor 3.
pub(crate) struct Handed(OwnedFd);

/// Streams of one service.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) streams: Vec<Stream>,
    /// The kernel's id of this boot; in the first message only.
    pub(crate) boot: Option<String>,
}

/// One stream.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) service: String,
    pub(crate) name: String,
    pub(crate) descriptor: OwnedFd,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Names {
    service: String,
    streams: Vec<String>,
    boot: Option<String>,
}

impl Handed {
    /// Takes descriptor 3; `None` if it is not open, as under a runtime other than PID 1. Call only once.
    pub(crate) fn take() -> Option<Self> {
        const STREAMS: i32 = 3;
        std::fs::symlink_metadata(format!("/proc/self/fd/{STREAMS}")).ok()?;
        // SAFETY: the descriptor is open, as just checked, and nothing else in this process owns it: the parent
        // process put it there.
        Some(Self(unsafe { OwnedFd::from_raw_fd(STREAMS) }))
    }

    /// The message that is queued before this service starts.
    pub(crate) fn first(&self) -> Option<Streams> {
        let first = self.receive();
        let first = first.inspect_err(|error| complain(&format!("descriptor 3: {error}")));
        first.ok().flatten()
    }

    /// The next message, if one is waiting.
    ///
    /// # Errors
    /// `BrokenPipe` when there will be no more messages, otherwise what is wrong with this one.
    pub(crate) fn receive(&self) -> io::Result<Option<Streams>> {
        let mut payload = [0; 512];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut buffers = [IoSliceMut::new(&mut payload)];
        let flags = RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let received = match recvmsg(&self.0, &mut buffers, &mut ancillary, flags) {
            Err(Errno::AGAIN | Errno::INTR) => return Ok(None),
            other => other?,
        };
        if received.bytes == 0 {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let cut = ReturnFlags::TRUNC | ReturnFlags::CTRUNC;
        if received.flags.intersects(cut) {
            return Err(io::Error::other("a message that is too long"));
        }
        let descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let descriptors: Vec<OwnedFd> = descriptors.flatten().collect();
        Streams::new(&payload[..received.bytes], descriptors).map(Some)
    }
}

impl AsFd for Handed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Streams {
    fn new(names: &[u8], descriptors: Vec<OwnedFd>) -> io::Result<Self> {
        let Names {
            service,
            streams,
            boot,
        } = serde_json::from_slice(names)?;
        let fits = |name: &str| {
            !name.is_empty() && !name.contains(|c: char| c == '/' || !c.is_ascii_graphic())
        };
        if !streams.iter().chain([&service]).all(|name| fits(name)) {
            return Err(io::Error::other("a name that cannot be a file's"));
        }
        if streams.len() != descriptors.len() {
            return Err(io::Error::other("not a descriptor for each stream"));
        }
        let stream = |(name, descriptor)| Stream {
            service: service.clone(),
            name,
            descriptor,
        };
        let streams = streams.into_iter().zip(descriptors).map(stream).collect();
        Ok(Self { streams, boot })
    }
}
