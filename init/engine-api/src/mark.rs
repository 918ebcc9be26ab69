//! How far a container's output has been read.

use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

const NANOSECONDS: u64 = 1_000_000_000;

/// How far a container's output has been read: the time of the last line, in nanoseconds since 1970, and how many lines
/// of that time there were. The engine selects lines by time, and those that a container writes at once may have the
/// same. Written `TIME:LINES`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark {
    time: u64,
    lines: u64,
}

impl Mark {
    /// Before all lines of `time`, in nanoseconds since 1970.
    #[must_use]
    pub fn at(time: u64) -> Self {
        Self { time, lines: 0 }
    }

    /// The time of its line, in nanoseconds since 1970.
    #[must_use]
    pub fn time(self) -> u64 {
        self.time
    }

    /// Notes that a line of `time` has been read.
    pub fn add(&mut self, time: u64) {
        if time != self.time {
            *self = Self::at(time);
        }
        self.lines += 1;
    }

    /// The mark's time as the engine reads it: lines of this time are selected, too.
    pub(crate) fn since(&self) -> String {
        let (seconds, rest) = (self.time / NANOSECONDS, self.time % NANOSECONDS);
        format!("{seconds}.{rest:09}")
    }
}

impl Display for Mark {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.time, self.lines)
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.to_string()
    }
}

impl FromStr for Mark {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once(':').and_then(|(time, lines)| {
            Some(Self {
                time: time.parse().ok()?,
                lines: lines.parse().ok()?,
            })
        });
        parsed.ok_or_else(|| format!("`{text}` is not a mark"))
    }
}

impl TryFrom<String> for Mark {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// Leaves out lines that have been read before, of those that the engine has selected by a mark.
#[derive(Debug, Clone, Copy)]
pub struct Resumed {
    mark: Mark,
    left: u64,
}

impl Resumed {
    /// Goes on at `mark`.
    #[must_use]
    pub fn at(mark: Mark) -> Self {
        Self {
            mark,
            left: mark.lines,
        }
    }

    /// Whether a line of `time` is new; if so, it counts as read.
    pub fn is_new(&mut self, time: u64) -> bool {
        if self.left > 0 && time == self.mark.time {
            self.left -= 1;
            return false;
        }
        self.left = 0;
        self.mark.add(time);
        true
    }

    /// How far the output has been read.
    #[must_use]
    pub fn mark(&self) -> Mark {
        self.mark
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which of lines at `times` are new after the first `end` of them have been read.
    fn rest(times: &[u64], end: usize) -> Vec<usize> {
        let mut first = Resumed::at(Mark::default());
        assert!(times[..end].iter().all(|time| first.is_new(*time)));
        let mut second = Resumed::at(first.mark());
        let selected = (0..times.len()).filter(|index| times[*index] >= first.mark().time);
        selected
            .filter(|index| second.is_new(times[*index]))
            .collect()
    }

    #[test]
    fn each_line_is_new_once() {
        let times = [1, 1, 2, 5, 5, 5, 6, 9, 9];
        for end in 0..times.len() {
            let want: Vec<usize> = (end..times.len()).collect();
            assert_eq!(rest(&times, end), want, "after {end}");
        }
    }

    #[test]
    fn where_the_clock_was_set_back_lines_are_read_again() {
        assert_eq!(rest(&[5, 6, 4, 4, 5], 3), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn marks_as_text() {
        for (text, want) in [
            ("1795234355527000001:2", Ok("1795234355527000001:2")),
            ("0:0", Ok("0:0")),
            ("5", Err("`5` is not a mark")),
            ("5:-1", Err("`5:-1` is not a mark")),
        ] {
            let mark: Result<Mark, String> = text.parse();
            let want = want.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(mark.map(String::from), want);
        }
    }

    #[test]
    fn times_are_exact() {
        for (time, want) in [
            (0, "0.000000000"),
            (1_700_000_000_000_000_042, "1700000000.000000042"),
        ] {
            assert_eq!(Mark::at(time).since(), want);
        }
    }
}
