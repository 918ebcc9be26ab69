//! A terminal for the program.
//!
//! It cannot be ours, which controls our session and so no other: Ctrl-C would end us, and a shell would have no job
//! control. So the program gets one end of a pseudo terminal (pty(7)), and we relay between our terminal and the other
//! end.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::getpgrp;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetpgrp, tcgetwinsize, tcsetattr, tcsetwinsize,
};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH};
use signal_hook::iterator::Signals;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::thread;
use tare_control::Client;

/// More than the kernel buffers of a program's output (`pty_common_install` and `N_TTY_BUF_SIZE`: 12 KiB), in bytes.
const BUFFERED: usize = 64 << 10;

/// The terminal of a program. Ours is in raw mode until this is dropped.
pub(super) struct Terminal {
    /// The end that takes keys and gives output.
    master: OwnedFd,
    /// The program's end. While we have it open, the other one does not hang up.
    slave: OwnedFd,
    /// The modes of our terminal to restore.
    before: Termios,
}

impl Terminal {
    /// A terminal like ours; `None` if our input or output is not one, or is not ours to read.
    pub(super) fn take() -> io::Result<Option<Self>> {
        if !isatty(stdin()) || !isatty(stdout()) || is_background() {
            return Ok(None);
        }
        let before = tcgetattr(stdin())?;
        let (master, slave) = open(&before)?;
        // From here on no signal ends us with the terminal in raw mode.
        let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGWINCH])?;
        copy_size(&master)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        let terminal = Self {
            master,
            slave,
            before,
        };
        terminal.handle(signals)?;
        Ok(Some(terminal))
    }

    /// The program's descriptors 0, 1 and 2. Errors that are redirected stay so.
    pub(super) fn stdio(&self) -> [BorrowedFd<'_>; 3] {
        let slave = self.slave.as_fd();
        let error = if isatty(stderr()) { slave } else { stderr() };
        [slave, slave, error]
    }

    /// Relays keys and output until `client` has a reply and the output that came before it is written.
    pub(super) fn relay(&self, client: &Client) -> io::Result<()> {
        self.relay_keys()?;
        let mut buffer = [0; 4096];
        // A process that the program left behind may write without end.
        let mut left = BUFFERED;
        while left > 0 {
            // The kernel looks at them in this order: if there is a reply and then no output, there was none left.
            let mut fds = [
                PollFd::new(client, PollFlags::IN),
                PollFd::new(&self.master, PollFlags::IN),
            ];
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                result => result?,
            };
            let [has_reply, has_output] = fds.map(|fd| !fd.revents().is_empty());
            if !has_output {
                break;
            }
            let length = rustix::io::read(&self.master, &mut buffer)?;
            write(&buffer[..length])?;
            if has_reply {
                left = left.saturating_sub(length);
            }
        }
        Ok(())
    }

    /// Passes on what is typed, in a thread: a program that does not read must not block its output.
    fn relay_keys(&self) -> io::Result<()> {
        let mut keys = File::from(stdin().try_clone_to_owned()?);
        let mut master = File::from(self.master.try_clone()?);
        let before = self.before.clone();
        let relay = move || {
            // In raw mode the input ends only when the terminal hangs up.
            let _ = io::copy(&mut keys, &mut master);
            leave(&before, SIGHUP);
        };
        thread::Builder::new().spawn(relay).map(drop)
    }

    /// Acts on signals, in a thread: writing to our terminal may block.
    fn handle(&self, mut signals: Signals) -> io::Result<()> {
        let master = self.master.try_clone()?;
        let before = self.before.clone();
        let handle = move || {
            for signal in signals.forever() {
                match signal {
                    SIGWINCH => {
                        // It fails only if our terminal is gone; the end of the input shows that.
                        let _ = copy_size(&master);
                    }
                    _ => leave(&before, signal),
                }
            }
        };
        thread::Builder::new().spawn(handle).map(drop)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore(&self.before);
    }
}

/// A background job that sets the terminal's modes or reads from it is stopped (`SIGTTOU`, `SIGTTIN`).
fn is_background() -> bool {
    // It fails on a terminal that is not the one of our session, which does not stop us.
    tcgetpgrp(stdin()).is_ok_and(|foreground| foreground != getpgrp())
}

/// A pseudo terminal with `modes`: the master, then the slave.
fn open(modes: &Termios) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    tcsetattr(&slave, OptionalActions::Now, modes)?;
    Ok((master, slave))
}

/// Gives the program's terminal the size of ours; the kernel sends `SIGWINCH` to the program.
fn copy_size(master: &OwnedFd) -> io::Result<()> {
    Ok(tcsetwinsize(master, tcgetwinsize(stdout())?)?)
}

/// Ends this process as `signal` would. That closes the master, so the program's terminal hangs up.
fn leave(before: &Termios, signal: i32) -> ! {
    restore(before);
    std::process::exit(128 + signal)
}

fn restore(before: &Termios) {
    // If this fails the terminal is gone, and there is nothing to restore.
    let _ = tcsetattr(stdin(), OptionalActions::Now, before);
}

fn write(bytes: &[u8]) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(bytes)?;
    out.flush()
}
