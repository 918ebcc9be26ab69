//! A guest's serial console: logged, searched, waited on, and checked for signs of trouble.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Error, Result, anyhow};

use crate::lost::Lost;
use crate::wait::Deadline;

/// A VM run whose console shows one of these has failed, whatever else it did.
pub const FORBIDDEN: &[&str] = &[
    "Kernel panic",
    "BUG:",
    "Oops",
    "WARNING:",
    "Call Trace",
    "segfault",
    "general protection",
    "Out of memory",
    "soft lockup",
    "rcu_sched self-detected",
    "hung task",
    "EXT4-fs error",
    "I/O error",
    // Rust's panic message; PID 1's goes to kmsg and therefore appears here.
    "panicked at",
    // OVMF's own crash screen.
    "X64 Exception Type",
];

/// How many of the last lines an error shows.
const TAIL_LINES: usize = 40;

/// A panic's call trace has no pauses of this length,
const SILENCE: Duration = Duration::from_millis(500);
/// and is complete after this time.
const ENOUGH: Duration = Duration::from_secs(3);

/// What a guest has written to its serial port since QEMU started. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Console {
    shared: Arc<Shared>,
    log: PathBuf,
    /// QEMU's own error output, which explains an exit that the guest did not cause.
    errors: PathBuf,
    /// Set once an error has named the log, which must then be kept.
    cited: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Shared {
    /// Held to stop reading.
    gate: Mutex<()>,
    state: Mutex<State>,
    changed: Condvar,
    tolerated: Vec<String>,
}

#[derive(Debug, Default)]
struct State {
    text: Vec<u8>,
    /// Lines before this offset have been compared with [`FORBIDDEN`].
    inspected: usize,
    forbidden: Option<String>,
    /// An error has reported the forbidden line.
    reported: bool,
    ended: bool,
}

impl Console {
    /// Reads `source` to its end in a thread. QEMU logs the same bytes to the first file, and its own errors to the
    /// second.
    pub(crate) fn read(
        mut source: impl Read + Send + 'static,
        [log, errors]: [&Path; 2],
        tolerated: &[String],
        cited: Arc<AtomicBool>,
    ) -> Self {
        let shared = Arc::new(Shared {
            gate: Mutex::default(),
            state: Mutex::default(),
            changed: Condvar::new(),
            tolerated: tolerated.to_vec(),
        });
        let reader = Arc::clone(&shared);
        thread::spawn(move || reader.fill(&mut source));
        Self {
            shared,
            log: log.to_owned(),
            errors: errors.to_owned(),
            cited,
        }
    }

    /// All output so far.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.shared.lock().text).replace('\r', "")
    }

    /// The current end of the output, so that [`Console::wait_line`] only checks later output.
    pub fn mark(&self) -> usize {
        self.shared.lock().text.len()
    }

    /// Stops reading the guest's output until the returned guard is dropped. Once a pipe is full (64 KiB), the
    /// guest's serial port blocks.
    pub fn unread(&self) -> impl Drop {
        let gate = self.shared.gate.lock();
        gate.unwrap_or_else(PoisonError::into_inner)
    }

    /// What an error shows: the log file's path, the last lines, and QEMU's own errors.
    pub fn tail(&self) -> String {
        self.end(TAIL_LINES)
    }

    /// The same with `count` lines.
    pub(crate) fn end(&self, count: usize) -> String {
        let text = self.text();
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(count)..];
        let shown: String = last.iter().map(|line| format!("  | {line}\n")).collect();
        let said = fs::read_to_string(&self.errors).unwrap_or_default();
        let said: String = said.lines().map(|line| format!("QEMU: {line}\n")).collect();
        format!("console ({}) ends with:\n{shown}{said}", self.log.display())
    }

    /// The first line with one of [`FORBIDDEN`] that is not tolerated.
    pub fn forbidden(&self) -> Option<String> {
        self.shared.lock().forbidden.clone()
    }

    /// # Errors
    /// The console shows a forbidden line.
    pub(crate) fn require_clean(&self) -> Result<()> {
        let clean = self.shared.lock().require_clean();
        clean.map_err(|why| self.explained(&why))
    }

    /// A forbidden line that no error has reported.
    pub(crate) fn unreported(&self) -> Option<String> {
        self.forbidden().filter(|_| !self.shared.lock().reported)
    }

    /// Waits for a whole line after `mark` that contains `wanted`, and returns it.
    ///
    /// # Errors
    /// The deadline passes, the console ends, or a forbidden line shows up first; with the console's tail.
    pub(crate) fn wait_line(
        &self,
        mark: usize,
        wanted: &str,
        deadline: Deadline,
    ) -> Result<String> {
        let mut start = mark;
        let found = self.wait(deadline, |state| state.find_line(&mut start, wanted));
        found.map_err(|why| self.explained(&format!("no line `{wanted}`: {why}")))
    }

    /// Waits until QEMU closes the console, which it does by exiting.
    ///
    /// # Errors
    /// The deadline passes first.
    pub(crate) fn wait_end(&self, deadline: Deadline) -> Result<()> {
        let ended = self.wait(deadline, |state| state.ended.then_some(()));
        ended.map_err(|why| self.explained(&format!("the machine is not off: {why}")))
    }

    /// Waits until all of QEMU's output has been read. QEMU has exited, so this is immediate.
    pub(crate) fn drain(&self) {
        let mut state = self.shared.lock();
        while !state.ended {
            let waited = self.shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// An error with the console's tail. If the guest is printing a call trace, waits for the rest of it.
    pub(crate) fn explained(&self, error: &str) -> Error {
        if self.forbidden().is_some() {
            self.settle();
        }
        self.cited.store(true, Ordering::Relaxed);
        let error = anyhow!("{error}\n{}", self.tail());
        match self.is_lost() {
            true => Lost::from(error).into(),
            false => error,
        }
    }

    /// Whether the guest will not answer any more.
    fn is_lost(&self) -> bool {
        let state = self.shared.lock();
        state.ended || state.forbidden.is_some()
    }

    /// Waits until the guest is silent, but no longer than [`ENOUGH`].
    fn settle(&self) {
        let enough = Deadline::after(ENOUGH);
        let mut state = self.shared.lock();
        while enough.left().is_some() && !state.ended {
            let waited = self.shared.changed.wait_timeout(state, SILENCE);
            let (still, silent) = waited.unwrap_or_else(PoisonError::into_inner);
            if silent.timed_out() {
                return;
            }
            state = still;
        }
    }

    fn wait<T>(
        &self,
        deadline: Deadline,
        mut seen: impl FnMut(&State) -> Option<T>,
    ) -> Result<T, String> {
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = seen(&state) {
                return Ok(found);
            }
            state.require_clean()?;
            if state.ended {
                return Err("QEMU has exited".to_owned());
            }
            let left = deadline.left().ok_or("the deadline has passed")?;
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Shared {
    fn fill(&self, source: &mut impl Read) {
        let mut chunk = [0; 4096];
        loop {
            let read = source.read(&mut chunk);
            drop(self.gate.lock());
            let read = match read {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Ok(length) if length > 0 => Some(&chunk[..length]),
                // A broken pipe is an end too.
                Ok(_) | Err(_) => None,
            };
            self.lock().append(read, &self.tolerated);
            self.changed.notify_all();
            if read.is_none() {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every append leaves the text complete, even if a thread panics.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Adds a chunk, or notes the end.
    fn append(&mut self, chunk: Option<&[u8]>, tolerated: &[String]) {
        self.text.extend_from_slice(chunk.unwrap_or_default());
        self.ended = chunk.is_none();
        let mut start = self.inspected;
        while let Some(line) = self.next_line(&mut start) {
            if self.forbidden.is_none() && is_forbidden(&line, tolerated) {
                self.forbidden = Some(line);
            }
        }
        self.inspected = start;
    }

    fn require_clean(&mut self) -> Result<(), String> {
        let Some(line) = &self.forbidden else {
            return Ok(());
        };
        self.reported = true;
        Err(format!("the console shows `{line}`"))
    }

    fn find_line(&self, start: &mut usize, wanted: &str) -> Option<String> {
        std::iter::from_fn(|| self.next_line(start)).find(|line| line.contains(wanted))
    }

    /// The whole line at `start`, which moves past it; once the output has ended, also an incomplete line.
    fn next_line(&self, start: &mut usize) -> Option<String> {
        let rest = self.text.get(*start..).filter(|rest| !rest.is_empty())?;
        let length = match rest.iter().position(|&byte| byte == b'\n') {
            Some(newline) => newline + 1,
            None if self.ended => rest.len(),
            None => return None,
        };
        *start += length;
        Some(
            String::from_utf8_lossy(&rest[..length])
                .trim_end()
                .to_owned(),
        )
    }
}

fn is_forbidden(line: &str, tolerated: &[String]) -> bool {
    let tolerates = |pattern: &str| tolerated.iter().any(|tolerated| tolerated == pattern);
    FORBIDDEN
        .iter()
        .any(|pattern| line.contains(pattern) && !tolerates(pattern))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::secs;

    fn console(text: &'static str, tolerated: &[&str]) -> Console {
        let tolerated: Vec<_> = tolerated
            .iter()
            .map(|&pattern| pattern.to_owned())
            .collect();
        Console::read(
            text.as_bytes(),
            ["c.log", "no/such/file"].map(Path::new),
            &tolerated,
            Arc::default(),
        )
    }

    fn soon() -> Deadline {
        Deadline::after(secs(5))
    }

    #[test]
    fn a_line_is_found_and_returned_whole() {
        let line = console("a\r\ntare: ready in 1.5 s\r\nb", &[]).wait_line(0, "ready", soon());
        assert_eq!(line.unwrap(), "tare: ready in 1.5 s");
    }

    #[test]
    fn a_mark_hides_what_was_before() {
        let console = console("ready 1\nready 2\n", &[]);
        assert_eq!(console.wait_line(3, "ready", soon()).unwrap(), "ready 2");
    }

    #[test]
    fn waiting_ends_with_the_console() {
        let error = console("a\nb", &[])
            .wait_line(0, "ready", soon())
            .unwrap_err();
        let want = "no line `ready`: QEMU has exited\nconsole (c.log) ends with:\n  | a\n  | b\n";
        assert_eq!(error.to_string(), want);
    }

    #[test]
    fn forbidden_lines_are_reported_unless_tolerated() {
        for (text, tolerated, want) in [
            ("fine\n", &[][..], None),
            ("x\n[1.0] BUG: bad\nmore\n", &[], Some("[1.0] BUG: bad")),
            (
                "thread 'main' panicked at init/src/main.rs:1:1:\n",
                &[],
                Some("thread 'main' panicked at init/src/main.rs:1:1:"),
            ),
            ("I/O error\n", &["I/O error"], None),
            ("I/O error\nOops", &["I/O error"], Some("Oops")),
        ] {
            let console = console(text, tolerated);
            console.wait_end(soon()).ok();
            assert_eq!(console.forbidden().as_deref(), want, "{text}");
        }
    }
}
