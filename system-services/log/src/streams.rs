//! The services' stdout and stderr: pipes that PID 1 hands over on descriptor 3, a message each,
//! `{"service":"ssh","stream":"stdout"}` with the read end as its ancillary data.

use crate::line::{Entry, Lines, Moment};
use crate::store::Store;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, recvmsg};
use serde::Deserialize;
use std::fs::File;
use std::io::{self, ErrorKind, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

/// Read at once of one pipe, in bytes: as much as a pipe holds, so that a service that never
/// stops talking does not keep others waiting.
const AT_ONCE: usize = 64 << 10;

/// Descriptor 3.
pub(crate) struct Streams(OwnedFd);

/// One stream of one service.
pub(crate) struct Pipe {
    name: Name,
    file: File,
    lines: Lines,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    service: String,
    stream: String,
}

impl Streams {
    /// Takes descriptor 3; `None` if there is none, as under another runtime than PID 1. To be
    /// called once.
    pub(crate) fn take() -> Option<Self> {
        const STREAMS: i32 = 3;
        std::fs::symlink_metadata(format!("/proc/self/fd/{STREAMS}")).ok()?;
        // SAFETY: it is open, as just seen, and nothing else in this process has it: whoever
        // started the process put it there.
        Some(Self(unsafe { OwnedFd::from_raw_fd(STREAMS) }))
    }

    /// The next stream, if one is waiting.
    ///
    /// # Errors
    /// `BrokenPipe` when there will be no more, otherwise what is wrong with this message.
    pub(crate) fn receive(&self) -> io::Result<Option<Pipe>> {
        let mut payload = [0; 512];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
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
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(io::Error::other("the name of a stream is too long"));
        }
        let descriptors = ancillary.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        });
        let pipe = descriptors.flatten().next();
        Pipe::new(&payload[..received.bytes], pipe).map(Some)
    }
}

impl AsFd for Streams {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Pipe {
    fn new(name: &[u8], pipe: Option<OwnedFd>) -> io::Result<Self> {
        let pipe = pipe.ok_or_else(|| io::Error::other("a stream without its pipe"))?;
        rustix::io::ioctl_fionbio(&pipe, true)?;
        Ok(Self {
            name: serde_json::from_slice(name)?,
            file: pipe.into(),
            lines: Lines::default(),
        })
    }

    /// Takes what is there; false if there may be more.
    ///
    /// # Errors
    /// `BrokenPipe` when nobody has the other end any more.
    pub(crate) fn read(&mut self, store: &mut Store) -> io::Result<bool> {
        let mut bytes = vec![0; AT_ONCE];
        match self.file.read(&mut bytes) {
            Ok(0) => Err(ErrorKind::BrokenPipe.into()),
            Ok(length) => {
                let mut sink = sink(&self.name, store);
                self.lines.push(&bytes[..length], &mut sink);
                Ok(false)
            }
            Err(_) => Ok(true),
        }
    }

    /// Ends a line that has been open for a while.
    pub(crate) fn end_line(&mut self, store: &mut Store) {
        self.lines.end_if_waited(sink(&self.name, store));
    }

    /// Ends a line that is open.
    pub(crate) fn close(&mut self, store: &mut Store) {
        self.lines.end_open(sink(&self.name, store));
    }

    pub(crate) fn has_open_line(&self) -> bool {
        self.lines.is_open()
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// What keeps a line of the stream `name`.
fn sink<'a>(name: &'a Name, store: &'a mut Store) -> impl FnMut(&[u8]) + use<'a> {
    let at = Moment::now();
    move |text| {
        store.push(&Entry {
            at,
            who: &name.service,
            place: &name.stream,
            text,
        });
    }
}
