//! The terminal as a screen that is redrawn, and its keys.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io::{self, Write};
use std::time::Duration;

/// Enters the alternate screen, with the cursor hidden and lines cut at the edge (xterm's private modes 1049, 25 and
/// 7), and leaves it.
const ENTER: &str = "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7l";
const LEAVE: &str = "\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l";
/// Moves home; clears the rest of the line; clears the rest of the screen (ECMA-48 CUP, EL, ED).
const HOME: &str = "\u{1b}[H";
const CLEAR_LINE: &str = "\u{1b}[K";
const CLEAR_REST: &str = "\u{1b}[J";

/// The height of a terminal that does not report it.
const UNKNOWN_ROWS: usize = 24;

/// The interrupt and end-of-file characters, which raise no signals here.
const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;

/// A key that was pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Letter(u8),
}

/// The terminal, until it is dropped.
pub(super) struct Screen {
    before: Termios,
}

impl Screen {
    /// # Errors
    /// If standard input or output is not a terminal.
    pub(super) fn take() -> io::Result<Self> {
        tcgetwinsize(stdout())?;
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        let screen = Self { before };
        write(ENTER)?;
        Ok(screen)
    }

    /// Shows `page`, as much of it as fits.
    pub(super) fn draw(&mut self, page: &str) -> io::Result<()> {
        let rows = match tcgetwinsize(stdout())?.ws_row {
            0 => UNKNOWN_ROWS,
            rows => usize::from(rows),
        };
        let lines: Vec<&str> = page.lines().take(rows).collect();
        let end = format!("{CLEAR_LINE}\r\n");
        write(&format!(
            "{HOME}{}{CLEAR_LINE}{CLEAR_REST}",
            lines.join(&end)
        ))
    }

    /// The key pressed within `patience`, if any.
    pub(super) fn key(&mut self, patience: Duration) -> io::Result<Option<Key>> {
        let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
        let input = stdin();
        let mut fds = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut fds, Some(&patience)) {
            Ok(0) => return Ok(None),
            // The window was resized.
            Err(rustix::io::Errno::INTR) => return Ok(None),
            result => result?,
        };
        let mut byte = [0];
        Ok(Some(match rustix::io::read(stdin(), &mut byte)? {
            0 => Key::Quit,
            _ => meaning(byte[0]),
        }))
    }
}

fn meaning(byte: u8) -> Key {
    match byte {
        b'q' | CTRL_C | CTRL_D => Key::Quit,
        other => Key::Letter(other),
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // If this fails the terminal is gone, and there is nothing to restore.
        let _ = write(LEAVE);
        let _ = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}
