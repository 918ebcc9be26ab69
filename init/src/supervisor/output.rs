//! Where services write: a pipe for each stream, which PID 1 keeps and the `log` service reads.
//!
//! PID 1 holds both ends for as long as it runs, so a log service that is killed loses nothing:
//! its next run gets the same pipes, with what was written meanwhile. PID 1 reads none of it.

use nix::fcntl::OFlag;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, socketpair,
};
use nix::unistd::pipe2;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd};

/// Both ends of one stream of a service.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

/// The output of one service.
pub(super) struct Output {
    stdout: Pipe,
    stderr: Pipe,
}

impl Output {
    pub(super) fn new() -> io::Result<Self> {
        let pipe = || pipe2(OFlag::O_CLOEXEC).map(|(read, write)| Pipe { read, write });
        Ok(Self {
            stdout: pipe()?,
            stderr: pipe()?,
        })
    }

    /// What the service gets as its standard output and error.
    pub(super) fn write_ends(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        Ok((
            self.stdout.write.try_clone()?,
            self.stderr.write.try_clone()?,
        ))
    }
}

/// The kernel's log as standard output and error, for what runs before the log service, and for
/// the log service itself.
pub(super) fn kmsg() -> io::Result<(OwnedFd, OwnedFd)> {
    let kmsg: File = OpenOptions::new().write(true).open("/dev/kmsg")?;
    Ok((kmsg.try_clone()?.into(), kmsg.into()))
}

/// Our end of the line to the log service.
pub(super) struct Collector(OwnedFd);

impl Collector {
    /// A new line: our end, and the one for the service.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        Ok((Self(ours), theirs))
    }

    /// Hands over the read ends of `output`.
    pub(super) fn hand_over(&self, service: &str, output: &Output) -> io::Result<()> {
        self.send(service, "stdout", &output.stdout.read)?;
        self.send(service, "stderr", &output.stderr.read)
    }

    fn send(&self, service: &str, stream: &str, read: &OwnedFd) -> io::Result<()> {
        let message = serde_json::json!({ "service": service, "stream": stream }).to_string();
        let descriptors = [read.as_raw_fd()];
        let control = [ControlMessage::ScmRights(&descriptors)];
        let payload = [IoSlice::new(message.as_bytes())];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<UnixAddr>(self.0.as_raw_fd(), &payload, &control, flags, None)?;
        Ok(())
    }
}
