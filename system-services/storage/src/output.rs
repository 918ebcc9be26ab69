//! The output of `e2fsck`: its progress for the console, and as much of the rest as the kernel's log can hold.

use std::time::{Duration, Instant};

/// The most lines of one program to log: a badly damaged file system makes it write hundreds of thousands.
const LINES: u64 = 500;
/// The longest line, as long as a record of the kernel's log.
const LENGTH: usize = 900;
/// The time between two reports of progress.
const INTERVAL: Duration = Duration::from_secs(10);
/// `e2fsck` works in this many passes.
const PASSES: u64 = 5;

#[derive(Debug)]
pub(crate) struct Output {
    lines: u64,
    reported: Instant,
}

/// What to do with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    /// For the log.
    Note(String),
    /// For the console.
    Progress(String),
    Nothing,
}

impl Output {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            lines: 0,
            reported: now,
        }
    }

    /// Handles a line that arrived at `now`.
    pub(crate) fn line(&mut self, bytes: &[u8], now: Instant) -> Line {
        let text = String::from_utf8_lossy(bytes);
        if let Some(progress) = progress(&text) {
            return self.progress(progress, now);
        }
        self.lines += 1;
        match self.lines <= LINES && !text.trim().is_empty() {
            true => Line::Note(text.chars().take(LENGTH).collect()),
            false => Line::Nothing,
        }
    }

    fn progress(&mut self, text: String, now: Instant) -> Line {
        if now.saturating_duration_since(self.reported) < INTERVAL {
            return Line::Nothing;
        }
        self.reported = now;
        Line::Progress(text)
    }

    /// How many lines were not logged.
    pub(crate) fn left_out(&self) -> u64 {
        self.lines.saturating_sub(LINES)
    }
}

/// `e2fsck -C` writes `PASS DONE ALL DEVICE` to a descriptor.
fn progress(line: &str) -> Option<String> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [pass, done, all, _] = words[..] else {
        return None;
    };
    let number = |word: &str| word.parse::<u64>().ok();
    let (pass, done, all) = (number(pass)?, number(done)?, number(all)?);
    let percent = u128::from(done) * 100 / u128::from(all.max(1));
    Some(format!(
        "checking the file system: pass {pass} of {PASSES}, {percent} %"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_reported_now_and_then() {
        let start = Instant::now();
        let mut output = Output::new(start);
        let at = |seconds| start + Duration::from_secs(seconds);
        let text = "checking the file system: pass 1 of 5, 40 %";
        for (line, seconds, want) in [
            ("1 2 5 state", 9, Line::Nothing),
            ("1 2 5 state", 10, Line::Progress(text.to_owned())),
            ("1 3 5 state", 19, Line::Nothing),
            ("1 2 5 state", 20, Line::Progress(text.to_owned())),
            ("1 2 5", 40, Line::Note("1 2 5".to_owned())),
            ("1 2 x y", 40, Line::Note("1 2 x y".to_owned())),
            (
                "5 18446744073709551615 0 d",
                40,
                Line::Progress(
                    "checking the file system: pass 5 of 5, 1844674407370955161500 %".to_owned(),
                ),
            ),
        ] {
            assert_eq!(output.line(line.as_bytes(), at(seconds)), want, "{line}");
        }
    }

    #[test]
    fn a_flood_is_cut_off_and_counted() {
        let now = Instant::now();
        let mut output = Output::new(now);
        let lines = (0..LINES + 7).map(|_| output.line(b"Inode 1: fixed", now));
        let kept = lines.filter(|line| *line != Line::Nothing).count() as u64;
        assert_eq!((kept, output.left_out()), (LINES, 7));
    }
}
