//! The output of services: a pipe for each stream, which PID 1 keeps and the `log` service reads.
//!
//! PID 1 holds both ends for as long as it runs, so a log service that is killed loses nothing:
//! its next run gets the same pipes, with what was written meanwhile. PID 1 reads none of it.
//! The socket behind `/dev/log` is kept in the same way.

use crate::effect::files::{make_directory, remove};
use crate::effect::readable::readable;
use crate::task::Task;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::socket::sockopt::{ReceiveTimestampns, SndBufForce};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, UnixAddr, recv, sendmsg,
    setsockopt, socketpair,
};
use nix::unistd::pipe2;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;
use tare_container::paths::LOG_SOCKET;
use tokio::task::yield_now;

/// How many messages a socket holds while it is not read; the kernel's 10 would make callers of `syslog(3)` wait.
const QUEUE: (&str, &str) = ("/proc/sys/net/unix/max_dgram_qlen", "512\n");
/// Room for the messages about some thousand services, in bytes.
const LINE_BUFFER: usize = 8 << 20;

/// Both ends of one stream of a service in one descriptor: each start of a service copies all descriptors of PID 1.
///
/// Linux allows a pipe to be opened for reading and writing at once (fifo(7)), which keeps it from ending.
struct Pipe(OwnedFd);

/// The output of one service.
pub(super) struct Output {
    stdout: Pipe,
    stderr: Pipe,
    pub(super) reader: Reader,
}

/// What reads the pipes of a service.
pub(super) enum Reader {
    /// Nothing yet: the next run of the log service will.
    None,
    /// The current run of the log service.
    Log,
    /// PID 1, which drops what it reads.
    Drain { _pipes: [Task; 2] },
}

impl Output {
    /// The first call also creates the socket for `syslog(3)`: a service that asks for it cannot start before it
    /// exists.
    pub(super) fn new() -> io::Result<Self> {
        dev_log();
        Ok(Self {
            stdout: Pipe::new()?,
            stderr: Pipe::new()?,
            reader: Reader::None,
        })
    }

    /// What the service gets as its standard output and error.
    pub(super) fn write_ends(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        Ok((self.stdout.write_end()?, self.stderr.write_end()?))
    }

    /// Reads and drops what is written until it has another reader: without a log service, a writer would block once its
    /// pipe is full.
    pub(super) fn drain(&mut self) -> io::Result<()> {
        if !matches!(self.reader, Reader::Drain { .. }) {
            let pipes = [self.stdout.drain()?, self.stderr.drain()?];
            self.reader = Reader::Drain { _pipes: pipes };
        }
        Ok(())
    }
}

/// Reads and drops what arrives on `/dev/log` for as long as the result lives.
pub(super) fn drain_syslog() -> io::Result<Option<Task>> {
    let socket = dev_log().map(UnixDatagram::try_clone).transpose()?;
    let take = |socket: &OwnedFd, buffer: &mut [u8]| {
        recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)
    };
    socket.map(|socket| drain(socket.into(), take)).transpose()
}

/// The null device as standard output and error, for a machine without a log service. `/dev/log` exists all the same,
/// because services mount it.
pub(super) fn null() -> io::Result<(OwnedFd, OwnedFd)> {
    dev_log();
    let null = OpenOptions::new().write(true).open("/dev/null")?;
    Ok((null.try_clone()?.into(), null.into()))
}

/// Reads from `end` with `take`, which must not block, and drops the result.
fn drain(end: OwnedFd, take: fn(&OwnedFd, &mut [u8]) -> nix::Result<usize>) -> io::Result<Task> {
    let end = readable(end)?;
    Ok(Task::spawn(async move {
        let mut buffer = [0; 4096];
        while let Ok(mut ready) = end.readable().await {
            if take(end.get_ref(), &mut buffer) == Err(Errno::EAGAIN) {
                ready.clear_ready();
            }
            // However much a service writes, the rest of the loop gets its turn.
            yield_now().await;
        }
    }))
}

impl Pipe {
    fn drain(&self) -> io::Result<Task> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(OFlag::O_NONBLOCK.bits());
        drain(open_again(&self.0, &options)?, |end, buffer| {
            nix::unistd::read(end, buffer)
        })
    }

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

/// Opens the same pipe again, with an access mode of its own (`/proc/self/fd` of proc(5)).
fn open_again(pipe: &OwnedFd, options: &OpenOptions) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
    options.open(path).map(Into::into)
}

/// The kernel's log as standard output and error, for services that run before the log service, and for the log
/// service itself.
pub(super) fn kmsg() -> io::Result<(OwnedFd, OwnedFd)> {
    let kmsg: File = OpenOptions::new().write(true).open("/dev/kmsg")?;
    Ok((kmsg.try_clone()?.into(), kmsg.into()))
}

/// Our end of the socket to the log service.
pub(super) struct Collector(OwnedFd);

impl Collector {
    /// A new socket pair: our end, and the service's. The boot's id and the socket behind `/dev/log` are queued in
    /// it.
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
    ///
    /// # Errors
    /// `BrokenPipe` or `ConnectionReset` once the log service has ended; any other may be temporary.
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

/// The socket behind `/dev/log`, created once and kept for as long as PID 1 runs; `None` if it cannot be created now.
fn dev_log() -> Option<&'static UnixDatagram> {
    static SOCKET: OnceLock<UnixDatagram> = OnceLock::new();
    kept(&SOCKET, || open_dev_log(Path::new(LOG_SOCKET)))
}

/// What is in `cell`, or what `open` puts there. A failure is not kept: the next service that starts tries again.
fn kept<T>(cell: &OnceLock<T>, open: impl FnOnce() -> io::Result<T>) -> Option<&T> {
    if cell.get().is_none() {
        let opened = open().inspect_err(|error| log::error!("{LOG_SOCKET}: {error}"));
        // PID 1 has one thread: nothing else has set it meanwhile.
        let _ = cell.set(opened.ok()?);
    }
    cell.get()
}

/// Open to every process that sees it. Every message carries the time at which the kernel received it, by which the
/// log service tells messages apart.
fn open_dev_log(path: &Path) -> io::Result<UnixDatagram> {
    make_directory(path.parent().unwrap_or(path), 0o755)?;
    fs::write(QUEUE.0, QUEUE.1)?;
    bind(path)
}

fn bind(path: &Path) -> io::Result<UnixDatagram> {
    // An earlier try may have left one.
    remove(path)?;
    let socket = UnixDatagram::bind(path)?;
    fs::set_permissions(path, Permissions::from_mode(0o666))?;
    setsockopt(&socket, ReceiveTimestampns, &true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;
    use tokio::sync::oneshot;
    use tokio::task::LocalSet;
    use tokio::time::timeout;

    /// Whether a thread can write more than the pipe holds.
    async fn takes_all(pipe: &Pipe) -> bool {
        let (done, written) = oneshot::channel();
        let mut end = File::from(pipe.write_end().unwrap());
        std::thread::spawn(move || {
            end.write_all(&[b'x'; 1 << 20]).unwrap();
            let _ = done.send(());
        });
        timeout(Duration::from_secs(5), written).await.is_ok()
    }

    #[tokio::test]
    async fn a_drained_pipe_blocks_no_writer() {
        let drained = async {
            let pipe = Pipe::new().unwrap();
            let _drain = pipe.drain().unwrap();
            takes_all(&pipe).await
        };
        assert!(LocalSet::new().run_until(drained).await);
    }

    #[tokio::test]
    async fn output_is_drained_while_there_is_no_log_service() {
        use crate::supervisor::state::State;
        let readers = async {
            let mut supervisor = crate::supervisor::testing::supervisor(&[("log", ""), ("a", "")]);
            let log = supervisor.units.get_mut("log").unwrap();
            log.service.process.collects_output = true;
            supervisor.units.get_mut("a").unwrap().output = Some(Output {
                stdout: Pipe::new().unwrap(),
                stderr: Pipe::new().unwrap(),
                reader: Reader::Log,
            });
            let mut reader = |state| {
                // Or it would open the machine's own /dev/log.
                supervisor.syslog_drain = Some(Task::spawn(async {}));
                supervisor.units.get_mut("log").unwrap().life.state = state;
                supervisor.drain_outputs();
                match supervisor.units["a"].output.as_ref().unwrap().reader {
                    Reader::None => "none",
                    Reader::Log => "log",
                    Reader::Drain { .. } => "drain",
                }
            };
            [State::Ready, State::Stopped, State::Waiting].map(&mut reader)
        };
        let readers = LocalSet::new().run_until(readers).await;
        assert_eq!(readers, ["log", "drain", "none"]);
    }

    #[test]
    fn dev_log_is_opened_again_after_a_failure_and_then_kept() {
        let path = std::env::temp_dir().join(format!("tare-dev-log-{}", std::process::id()));
        let cell = OnceLock::new();
        assert!(kept(&cell, || Err(io::ErrorKind::StorageFull.into())).is_none());
        // Bound, but the next step failed.
        drop(bind(&path).unwrap());
        assert!(kept(&cell, || bind(&path)).is_some());
        assert!(kept(&cell, || panic!("opened twice")).is_some());
        fs::remove_file(path).unwrap();
    }

    #[tokio::test]
    async fn a_log_service_that_comes_back_gets_what_is_written_then() {
        let read = async {
            let pipe = Pipe::new().unwrap();
            drop(pipe.drain().unwrap());
            yield_now().await;
            File::from(pipe.write_end().unwrap())
                .write_all(b"line\n")
                .unwrap();
            let mut buffer = [0; 5];
            nix::unistd::read(pipe.read_end().unwrap(), &mut buffer).unwrap();
            buffer
        };
        assert_eq!(&LocalSet::new().run_until(read).await, b"line\n");
    }
}
