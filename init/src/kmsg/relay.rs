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
            }),
            ForkResult::Child => {
                let _ = write_for_ever(&theirs, device, level);
                // SAFETY: it never returns.
                unsafe { libc::_exit(0) }
            }
        }
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
        let send = |line: &str| {
            let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
            send(self.socket.as_raw_fd(), line.as_bytes(), flags)
        };
        if self.lost > 0 {
            let text = super::line(
                Level::Warn,
                &format!("{} lines are lost: the console takes none", self.lost),
            );
            match send(&text) {
                Err(Errno::EAGAIN) => {}
                other => {
                    other?;
                    self.lost = 0;
                }
            }
        }
        match send(line) {
            Err(Errno::EAGAIN) => self.lost += 1,
            other => drop(other?),
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
