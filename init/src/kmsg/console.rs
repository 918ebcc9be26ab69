//! Detects a blocked console, and then has the kernel print only emergencies for a while.
//!
//! The CPU that prints a record does nothing else meanwhile, and also prints all records that arrive in the meantime.
//! Everything that waits to run on it stalls, including PID 1 (6.12, `console_flush_all()`).

use nix::libc::{self, c_int};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use std::{fs, io, ptr};

/// Consecutive slow lines that take longer than this in total mean that a console is blocked. At 9600 baud, this is
/// two thousand bytes.
const PATIENCE: Duration = Duration::from_secs(2);

/// A line is slow if it takes longer. With a blocked console it waits for at least one other record, ten milliseconds
/// a byte.
const SLOW: Duration = Duration::from_millis(200);

/// How long the consoles then stay quiet.
const PAUSE: Duration = Duration::from_secs(60);

/// Enough for a thread that waits and makes one system call.
const STACK: usize = 64 << 10;

/// The kernel's `SYSLOG_ACTION_CONSOLE_LEVEL`: less urgent records are not shown, and pending ones are skipped
/// (syslog(2); 6.12, `printk_get_next_message()`).
const CONSOLE_LEVEL: c_int = 8;

/// The lowest level: only emergencies are shown.
const QUIET: c_int = 1;

/// The level at which everything is shown; the kernel takes none above it (6.12, `do_syslog()`), but `debug` on its command
/// line sets one.
const ALL: c_int = 8;

/// The level that the machine was started with (proc_sys_kernel(5), `printk`).
pub(super) fn level() -> Option<c_int> {
    let levels = fs::read_to_string("/proc/sys/kernel/printk").ok()?;
    let level: c_int = levels.split_whitespace().next()?.parse().ok()?;
    Some(level.clamp(QUIET, ALL))
}

/// A thread that measures how long lines take.
pub(super) struct Watch {
    /// True when a line begins, false when it has ended.
    turns: Sender<bool>,
    thread: JoinHandle<()>,
    shown: Arc<Mutex<Shown>>,
}

/// What consoles show.
struct Shown {
    /// The level outside of pauses.
    level: c_int,
    /// Whether there is a pause.
    paused: bool,
}

impl Shown {
    /// Changes `shown`, then sets the kernel's level. The lock is held meanwhile, which takes no time: this prints nothing.
    fn change(shown: &Mutex<Self>, change: impl FnOnce(&mut Self)) {
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut shown);
        set_level(if shown.paused { QUIET } else { shown.level });
    }
}

impl Watch {
    /// Sets the console level to `level`, except during pauses; calls `tell` when a pause begins.
    pub(super) fn start(level: c_int, tell: impl Fn(&str) + Send + 'static) -> io::Result<Self> {
        let (turns, watched) = channel();
        let paused = false;
        let shown = Arc::new(Mutex::new(Shown { level, paused }));
        let its = shown.clone();
        let show = move |show: bool| {
            Shown::change(&its, |shown| shown.paused = !show);
            if !show {
                tell(&format!(
                    "a console takes nothing: for {PAUSE:?} only emergencies are shown"
                ));
            }
        };
        let thread = thread::Builder::new()
            .stack_size(STACK)
            .spawn(move || watch(&watched, PATIENCE, PAUSE, show))?;
        Ok(Self {
            turns,
            thread,
            shown,
        })
    }

    /// Sets the console level to `level`, at the end of the pause if there is one.
    pub(super) fn set(&self, level: c_int) {
        Shown::change(&self.shown, |shown| shown.level = level);
    }

    /// Runs `write` and measures how long it takes.
    pub(super) fn over(&self, write: impl FnOnce()) {
        // Fails only if the thread has panicked.
        let _ = self.turns.send(true);
        write();
        let _ = self.turns.send(false);
    }

    /// Ends the thread, and any pause.
    pub(super) fn end(self) {
        drop(self.turns);
        let _ = self.thread.join();
    }
}

fn watch(turns: &Receiver<bool>, patience: Duration, pause: Duration, show: impl Fn(bool)) {
    // A relay that was killed may have left the consoles quiet.
    show(true);
    let mut left = patience;
    while let Ok(begins) = turns.recv() {
        if !begins {
            continue;
        }
        let begun = Instant::now();
        if turns.recv_timeout(left) == Err(RecvTimeoutError::Timeout) {
            show(false);
            let over = Instant::now() + pause;
            while turns
                .recv_timeout(over.saturating_duration_since(Instant::now()))
                .is_ok()
            {}
            show(true);
            left = patience;
        } else if begun.elapsed() < SLOW {
            left = patience;
        } else {
            left = left.saturating_sub(begun.elapsed());
        }
    }
}

fn set_level(level: c_int) {
    // SAFETY: this action takes no buffer. It cannot fail with CAP_SYSLOG and a level from 1 to 8.
    unsafe { libc::klogctl(CONSOLE_LEVEL, ptr::null_mut(), level) };
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3600);
    const SHORT: Duration = Duration::from_millis(1);

    /// A sender to report lines to `watch`, and a receiver of what it does, in order.
    fn watched(patience: Duration, pause: Duration) -> (Sender<bool>, Receiver<bool>) {
        let (turns, watched) = channel();
        let (done, shown) = channel();
        thread::spawn(move || {
            watch(&watched, patience, pause, |show| done.send(show).unwrap());
        });
        (turns, shown)
    }

    #[test]
    fn a_pause_begins_with_a_slow_line_and_ends_by_itself() {
        let (turns, shown) = watched(SHORT, SHORT);
        assert!(shown.recv().unwrap());
        for _ in 0..2 {
            turns.send(true).unwrap();
            assert!(!shown.recv().unwrap());
            assert!(shown.recv().unwrap());
            turns.send(false).unwrap();
        }
    }

    #[test]
    fn a_pause_ends_with_the_last_line_of_all() {
        let (turns, shown) = watched(SHORT, LONG);
        turns.send(true).unwrap();
        assert!(shown.recv().unwrap());
        assert!(!shown.recv().unwrap());
        for turn in [false, true, false, true] {
            turns.send(turn).unwrap();
        }
        drop(turns);
        assert_eq!(shown.iter().collect::<Vec<_>>(), [true]);
    }

    #[test]
    fn slow_lines_in_a_row_count_as_one() {
        let (turns, shown) = watched(5 * SLOW, LONG);
        assert!(shown.recv().unwrap());
        let quiet = (0..50).find_map(|_| {
            turns.send(true).unwrap();
            thread::sleep(2 * SLOW);
            turns.send(false).unwrap();
            shown.try_recv().ok()
        });
        assert_eq!(quiet, Some(false));
    }

    #[test]
    fn lines_in_time_change_nothing() {
        let (turns, shown) = watched(LONG, LONG);
        for _ in 0..100 {
            turns.send(true).unwrap();
            turns.send(false).unwrap();
        }
        drop(turns);
        assert_eq!(shown.iter().collect::<Vec<_>>(), [true]);
    }
}
