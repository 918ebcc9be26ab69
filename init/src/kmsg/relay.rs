//! A process that writes PID 1's lines to the kernel's log, and waits for consoles in its place.
//!
//! The kernel prints a record in the context of its writer, along with all pending records of others (6.12,
//! `console_unlock()`). A blocked serial console costs ten milliseconds a byte: PID 1 stalled for 23 s.

use super::MAX_RECORD;
use super::console::Watch;
use log::Level;
use nix::errno::Errno;
use nix::libc::{self, c_int};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow};
use nix::sys::socket::{
    AddressFamily, MsgFlags, Shutdown, SockFlag, SockType, send, shutdown, socketpair,
};
use nix::unistd::{ForkResult, dup2_stdin, dup2_stdout, fork, read, write};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// How long the last lines may take, in milliseconds.
const PATIENCE: u16 = 1000;

/// Our end of the socket to the process.
pub(super) struct Relay {
    socket: OwnedFd,
    /// Lines dropped since the last one that there was room for.
    lost: u64,
    /// The kernel's console level, if it is to be lowered for blocked consoles.
    level: Option<c_int>,
    /// Whether the process does not know it yet.
    level_due: bool,
}

/// The first byte of a message that is a console level, in digits. A line begins with `<`.
const LEVEL: u8 = b'=';

/// The console level that `message` sets, if it is not a line.
fn level_of(message: &[u8]) -> Option<c_int> {
    let digits = message.strip_prefix(&[LEVEL])?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Relay {
    /// Starts the process, which ends when `socket` is closed. The caller must have one thread.
    pub(super) fn start(device: &File, level: Option<c_int>) -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (socket, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // The child inherits PID 1's signal handlers, which write into PID 1's pipes.
        let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
        // SAFETY: PID 1 has one thread, so the child may run ordinary Rust code.
        let side = unsafe { fork() };
        if !matches!(side, Ok(ForkResult::Child)) {
            before.thread_set_mask()?;
        }
        match side? {
            ForkResult::Parent { .. } => Ok(Self {
                socket,
                lost: 0,
                level,
                level_due: false,
            }),
            ForkResult::Child => {
                let _ = write_for_ever(&theirs, device, level);
                // SAFETY: it never returns.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Sets the kernel's console level to `level`, now or when there is room. If it is unknown, so that it is never
    /// lowered, it stays as it is.
    pub(super) fn set_level(&mut self, level: c_int) {
        if self.level.is_some() {
            self.level = Some(level);
            self.level_due = true;
            // A new process, for the next line if this one is gone, begins with it.
            let _ = self.try_send_level();
        }
    }

    fn try_send_level(&mut self) -> nix::Result<()> {
        let Some(level) = self.level.filter(|_| self.level_due) else {
            return Ok(());
        };
        let message = format!("{}{level}", char::from(LEVEL));
        match self.send_now(&message) {
            Err(Errno::EAGAIN) => Ok(()),
            sent => {
                self.level_due = sent.is_err();
                sent
            }
        }
    }

    fn send_now(&self, message: &str) -> nix::Result<()> {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        send(self.socket.as_raw_fd(), message.as_bytes(), flags).map(drop)
    }

    /// Hands `line` over, to a new process if this one is gone. If there is no room, the line is dropped and counted.
    pub(super) fn send(&mut self, line: &str, device: &File) -> io::Result<()> {
        match self.try_send(line) {
            Err(Errno::EPIPE | Errno::ECONNRESET) => {
                *self = Self {
                    lost: self.lost,
                    ..Self::start(device, self.level)?
                };
                self.try_send(line)?;
            }
            other => other?,
        }
        Ok(())
    }

    fn try_send(&mut self, line: &str) -> nix::Result<()> {
        self.try_send_level()?;
        if self.lost > 0 {
            let text = super::line(
                Level::Warn,
                &format!("{} lines are lost: the console takes none", self.lost),
            );
            match self.send_now(&text) {
                Err(Errno::EAGAIN) => {}
                other => {
                    other?;
                    self.lost = 0;
                }
            }
        }
        match self.send_now(line) {
            Err(Errno::EAGAIN) => self.lost += 1,
            other => other?,
        }
        Ok(())
    }

    /// Waits until all is written, but no longer than [`PATIENCE`].
    pub(super) fn settle(self) {
        let _ = shutdown(self.socket.as_raw_fd(), Shutdown::Write);
        let mut end = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut end, PollTimeout::from(PATIENCE));
    }
}

/// In the process: writes the lines it receives, until the other end is closed.
fn write_for_ever(lines: &OwnedFd, device: &File, level: Option<c_int>) -> io::Result<()> {
    prctl::set_name(c"kmsg")?;
    dup2_stdin(lines)?;
    dup2_stdout(device)?;
    // SAFETY: the closed descriptors are unused: only the two streams are used from now on.
    Errno::result(unsafe { libc::syscall(libc::SYS_close_range, 2, u32::MAX, 0) })?;
    // A line that cannot be written cannot be reported either.
    let put = |line: &[u8]| {
        let _ = write(io::stdout(), line);
    };
    let tell = move |what: &str| put(super::line(Level::Warn, what).as_bytes());
    let watch = level.and_then(|level| Watch::start(level, tell).ok());
    let mut line = [0; MAX_RECORD];
    loop {
        let length = read(io::stdin(), &mut line)?;
        if let Some(level) = level_of(&line[..length]) {
            watch.iter().for_each(|watch| watch.set(level));
            continue;
        }
        match &watch {
            _ if length == 0 => break,
            Some(watch) => watch.over(|| put(&line[..length])),
            None => put(&line[..length]),
        }
    }
    if let Some(watch) = watch {
        watch.end();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::OFlag;
    use nix::unistd::pipe2;
    use std::io::Read;

    /// A device that blocks once it is full, and its other end.
    fn device() -> (File, File) {
        let (reader, writer) = pipe2(OFlag::O_CLOEXEC).unwrap();
        (writer.into(), reader.into())
    }

    fn read_all(mut reader: File) -> String {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_blocked_device_delays_no_writer() {
        let (device, reader) = device();
        let mut relay = Relay::start(&device, None).unwrap();
        let mut said: u64 = 10_000;
        for number in 0..said {
            relay.send(&format!("{number:0>99}\n"), &device).unwrap();
        }
        assert!(relay.lost > 0);
        drop(device);
        let reading = std::thread::spawn(move || read_all(reader));
        // There is room again a moment later.
        while relay.lost > 0 {
            relay.try_send("last\n").unwrap();
            said += 1;
        }
        relay.settle();
        let text = reading.join().unwrap();
        assert!(text.ends_with("last\n"));
        let (told, kept): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.starts_with('<'));
        let lost = told.iter().map(|line| {
            let number = line.strip_prefix("<28>tare: ").unwrap();
            let number = number.strip_suffix(" lines are lost: the console takes none");
            number.unwrap().parse::<u64>().unwrap()
        });
        assert_eq!(kept.len() as u64 + lost.sum::<u64>(), said);
    }

    #[test]
    fn a_level_is_not_a_line() {
        for (message, want) in [
            (&b"=6"[..], Some(6)),
            (b"=", None),
            (b"<28>tare: =6\n", None),
            (b"", None),
        ] {
            assert_eq!(level_of(message), want, "{message:?}");
        }
    }

    #[test]
    fn a_level_waits_for_room() {
        let (socket, theirs) = {
            let flags = SockFlag::SOCK_CLOEXEC;
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap()
        };
        let mut relay = Relay {
            socket,
            lost: 0,
            level: Some(6),
            level_due: false,
        };
        while relay.lost == 0 {
            relay.try_send("a line\n").unwrap();
        }
        relay.set_level(4);
        assert!(relay.level_due);
        let mut message = [0; MAX_RECORD];
        while read(&theirs, &mut message).unwrap() > 0 {
            relay.try_send("a line\n").unwrap();
            if !relay.level_due {
                break;
            }
        }
        let mut found = None;
        while found.is_none() {
            let length = read(&theirs, &mut message).unwrap();
            found = level_of(&message[..length]);
        }
        assert_eq!(found, Some(4));
    }

    #[test]
    fn another_one_takes_the_place_of_one_that_is_gone() {
        let (device, reader) = device();
        let mut relay = Relay::start(&device, None).unwrap();
        shutdown(relay.socket.as_raw_fd(), Shutdown::Both).unwrap();
        relay.send("a\n", &device).unwrap();
        relay.settle();
        drop(device);
        assert_eq!(read_all(reader), "a\n");
    }
}
