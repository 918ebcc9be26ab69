//! Where services write: a pipe for each stream, which PID 1 keeps and the `log` service reads.
//!
//! PID 1 holds both ends for as long as it runs, so a log service that is killed loses nothing:
//! its next run gets the same pipes, with what was written meanwhile. PID 1 reads none of it.
//! The socket behind `/dev/log` is kept in the same way.

use crate::effect::files::make_directory;
use nix::fcntl::OFlag;
use nix::sys::socket::sockopt::{ReceiveTimestampns, SndBufForce};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, sendmsg, setsockopt,
    socketpair,
};
use nix::unistd::pipe2;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;
use tare_container::paths::LOG_SOCKET;

/// How many messages a socket holds while nobody reads it; the kernel's 10 would make callers of `syslog(3)` wait.
const QUEUE: (&str, &str) = ("/proc/sys/net/unix/max_dgram_qlen", "512\n");
/// Room for the messages about some thousand services, in bytes.
const LINE_BUFFER: usize = 8 << 20;

/// Both ends of one stream of a service in one descriptor: each start of a service copies all that PID 1 has.
///
/// Linux lets a pipe be opened for reading and writing at once (fifo(7)), and whoever has it so
/// keeps it from ending.
struct Pipe(OwnedFd);

/// The output of one service.
pub(super) struct Output {
    stdout: Pipe,
    stderr: Pipe,
}

impl Output {
    /// The first of all makes the socket for `syslog(3)` too: a service that asks for it cannot start before it is there.
    pub(super) fn new() -> io::Result<Self> {
        dev_log();
        Ok(Self {
            stdout: Pipe::new()?,
            stderr: Pipe::new()?,
        })
    }

    /// What the service gets as its standard output and error.
    pub(super) fn write_ends(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        Ok((self.stdout.write_end()?, self.stderr.write_end()?))
    }
}

impl Pipe {
    fn new() -> io::Result<Self> {
        let (read, _write) = pipe2(OFlag::O_CLOEXEC)?;
        open_again(&read, OpenOptions::new().read(true).write(true)).map(Self)
    }

    fn write_end(&self) -> io::Result<OwnedFd> {
        open_again(&self.0, OpenOptions::new().write(true))
    }

    fn read_end(&self) -> io::Result<OwnedFd> {
        open_again(&self.0, OpenOptions::new().read(true))
    }
}

/// The same pipe, with rights of its own (`/proc/self/fd` of proc(5)).
fn open_again(pipe: &OwnedFd, options: &OpenOptions) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    options.open(path).map(Into::into)
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
    /// A new line: our end, and the one for the service. The boot's id and the socket behind `/dev/log` wait in it.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        setsockopt(&ours, SndBufForce, &LINE_BUFFER)?;
        let line = Self(ours);
        let socket = dev_log().map(AsRawFd::as_raw_fd);
        let streams: &[&str] = if socket.is_some() { &["syslog"] } else { &[] };
        let first =
            serde_json::json!({ "service": "syslog", "streams": streams, "boot": boot_id() });
        line.send(&first.to_string(), socket.as_slice())?;
        Ok((line, theirs))
    }

    /// Hands over the read ends of `output`.
    pub(super) fn hand_over(&self, service: &str, output: &Output) -> io::Result<()> {
        let streams = ["stdout", "stderr"];
        let message = serde_json::json!({ "service": service, "streams": streams });
        let ends = [output.stdout.read_end()?, output.stderr.read_end()?];
        self.send(
            &message.to_string(),
            &ends.each_ref().map(AsRawFd::as_raw_fd),
        )
    }

    fn send(&self, message: &str, descriptors: &[RawFd]) -> io::Result<()> {
        let control = [ControlMessage::ScmRights(descriptors)];
        let control = if descriptors.is_empty() {
            &[]
        } else {
            &control[..]
        };
        let payload = [IoSlice::new(message.as_bytes())];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        sendmsg::<UnixAddr>(self.0.as_raw_fd(), &payload, control, flags, None)?;
        Ok(())
    }
}

/// The kernel's id of this boot.
fn boot_id() -> String {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

/// The socket behind `/dev/log`, made once and kept for as long as PID 1 runs.
fn dev_log() -> Option<&'static UnixDatagram> {
    static SOCKET: OnceLock<Option<UnixDatagram>> = OnceLock::new();
    let open = || {
        let opened = open_dev_log(Path::new(LOG_SOCKET));
        opened
            .inspect_err(|error| log::error!("{LOG_SOCKET}: {error}"))
            .ok()
    };
    SOCKET.get_or_init(open).as_ref()
}

/// Open to all who see it. Every message carries the moment at which the kernel took it, by which the log
/// service knows messages apart.
fn open_dev_log(path: &Path) -> io::Result<UnixDatagram> {
    make_directory(path.parent().unwrap_or(path), 0o755)?;
    fs::write(QUEUE.0, QUEUE.1)?;
    let socket = UnixDatagram::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}
