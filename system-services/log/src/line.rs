//! Lines: from bytes as they come to entries, and from entries to what is written.

use rustix::time::{ClockId, clock_gettime};
use std::io::Write;
use std::time::{Duration, SystemTime};

/// The longest line in bytes; what is longer becomes several.
const LONGEST: usize = 16 << 10;

/// One line, by whom and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    pub(crate) at: Moment,
    pub(crate) who: &'a str,
    pub(crate) place: &'a str,
    pub(crate) text: &'a [u8],
}

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) wall: SystemTime,
    pub(crate) since_boot: Duration,
}

impl Moment {
    pub(crate) fn now() -> Self {
        let boot = clock_gettime(ClockId::Monotonic);
        Self {
            wall: SystemTime::now(),
            since_boot: Duration::new(boot.tv_sec as u64, boot.tv_nsec as u32),
        }
    }

    /// The moment at `since_boot`, by what the wall clock says of it now.
    pub(crate) fn at(self, since_boot: Duration) -> Self {
        let ago = self.since_boot.saturating_sub(since_boot);
        Self {
            wall: self.wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
            since_boot,
        }
    }
}

impl Entry<'_> {
    /// Appends the line as it is written.
    pub(crate) fn format(&self, out: &mut Vec<u8>) {
        let wall = humantime::format_rfc3339_millis(self.at.wall);
        let since_boot = self.at.since_boot;
        let (seconds, micros) = (since_boot.as_secs(), since_boot.subsec_micros());
        // Writing to a vector does not fail.
        let _ = write!(
            out,
            "{wall} {seconds}.{micros:06} {} {} ",
            self.who, self.place
        );
        for byte in self.text {
            match byte {
                b'\t' | b' '..=b'~' | 0x80.. => out.push(*byte),
                _ => drop(write!(out, "\\x{byte:02x}")),
            }
        }
        out.push(b'\n');
    }
}

/// Cuts a stream of bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: Vec<u8>,
    waited: bool,
}

impl Lines {
    /// Calls `line` with each line that `bytes` completes.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        self.waited = false;
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.open
                .extend_from_slice(part.strip_suffix(b"\n").unwrap_or(part));
            let ends = part.ends_with(b"\n");
            while self.open.len() > LONGEST {
                let rest = self.open.split_off(LONGEST);
                line(&self.open);
                self.open = rest;
            }
            if ends {
                self.end(&mut line);
            }
        }
    }

    /// Ends a line that has been open since the last call: a prompt, or the last words of a crash.
    pub(crate) fn end_if_waited(&mut self, line: impl FnMut(&[u8])) {
        match self.waited {
            true if self.is_open() => self.end(line),
            _ => self.waited = true,
        }
    }

    /// Ends a line that is open.
    pub(crate) fn end_open(&mut self, line: impl FnMut(&[u8])) {
        if self.is_open() {
            self.end(line);
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    fn end(&mut self, mut line: impl FnMut(&[u8])) {
        let open = self.open.strip_suffix(b"\r").unwrap_or(&self.open);
        line(open);
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(chunks: &[&[u8]]) -> (Vec<String>, Lines) {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for chunk in chunks {
            lines.push(chunk, |line| {
                found.push(String::from_utf8_lossy(line).into_owned())
            });
        }
        (found, lines)
    }

    #[test]
    fn lines_are_cut_wherever_the_bytes_are() {
        for (chunks, want) in [
            (vec![&b"a\nb\n"[..]], vec!["a", "b"]),
            (vec![b"a", b"b\nc", b"\n"], vec!["ab", "c"]),
            (vec![b"\n\n"], vec!["", ""]),
            (vec![b"a\r\n"], vec!["a"]),
            (vec![b"open"], vec![]),
        ] {
            assert_eq!(cut(&chunks).0, want, "{chunks:?}");
        }
    }

    #[test]
    fn a_line_too_long_becomes_several() {
        let long = [vec![b'x'; LONGEST + 3], vec![b'\n']].concat();
        let lengths: Vec<usize> = cut(&[&long]).0.iter().map(String::len).collect();
        assert_eq!(lengths, [LONGEST, 3]);
    }

    #[test]
    fn an_open_line_ends_when_it_has_waited() {
        let (_, mut lines) = cut(&[b"login: "]);
        let mut found = Vec::new();
        for _ in 0..3 {
            lines.end_if_waited(|line| found.push(line.to_vec()));
        }
        assert_eq!(found, [b"login: "]);
    }

    #[test]
    fn the_format() {
        let entry = Entry {
            at: Moment {
                wall: SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_234_355_527),
                since_boot: Duration::from_micros(12_345_678),
            },
            who: "ssh",
            place: "stderr",
            text: "caf\u{e9}\t\u{1b}[31mred\0".as_bytes(),
        };
        let mut out = Vec::new();
        entry.format(&mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "2026-11-21T04:12:35.527Z 12.345678 ssh stderr caf\u{e9}\t\\x1b[31mred\\x00\n"
        );
    }

    #[test]
    fn a_moment_of_the_past() {
        let now = Moment {
            wall: SystemTime::UNIX_EPOCH + Duration::from_secs(100),
            since_boot: Duration::from_secs(50),
        };
        let past = now.at(Duration::from_secs(20));
        assert_eq!(past.wall, SystemTime::UNIX_EPOCH + Duration::from_secs(70));
    }
}
