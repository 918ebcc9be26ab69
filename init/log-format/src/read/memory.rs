//! Lines that wait in memory for disk space, read between those in the files and those to come.

use crate::waiting::Waiting;
use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Lines to remember, in bytes: the log keeps half as much, so an older line is neither in memory nor new in a file.
const REMEMBERED: usize = 1 << 20;

/// A line that was read from memory is skipped when it appears in a file.
#[derive(Debug, Default)]
pub(super) struct Memory {
    folder: Option<PathBuf>,
    /// Lines that were read here and have not appeared in a file, oldest first.
    found: VecDeque<Vec<u8>>,
    /// How many of them, the youngest, have not been returned yet.
    unread: usize,
    lost: u64,
}

impl Memory {
    /// Lines of the log whose state is in `folder`.
    pub(super) fn of(folder: Option<&Path>) -> Self {
        Self {
            folder: folder.map(Path::to_owned),
            ..Self::default()
        }
    }

    pub(super) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The number of lines dropped for lack of memory that no file mentions yet.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// The lines that wait now, known or not.
    pub(super) fn waiting(&self) -> io::Result<Waiting> {
        let Some(folder) = &self.folder else {
            return Ok(Waiting::default());
        };
        match Waiting::read(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Waiting::default()),
            other => other,
        }
    }

    /// Checks which lines wait now; true if there are some to return.
    pub(super) fn look(&mut self) -> io::Result<bool> {
        let waiting = self.waiting()?;
        self.lost = waiting.dropped;
        let lines: Vec<&[u8]> = waiting.lines.split(|byte| *byte == b'\n').collect();
        // There is an empty one after the last line end.
        let lines = lines.split_last().map_or(&[][..], |(_, lines)| lines);
        let known = overlap(&self.found, lines);
        self.unread = lines.len() - known;
        let new = lines[known..].iter().map(|line| line.to_vec());
        self.found.extend(new);
        self.forget();
        Ok(self.unread > 0)
    }

    /// Replaces `line` with the next one to return; false if there is none.
    pub(super) fn take(&mut self, line: &mut Vec<u8>) -> bool {
        let next = self.found.len() - self.unread;
        let Some(found) = self.found.get(next) else {
            return false;
        };
        line.clone_from(found);
        self.unread -= 1;
        true
    }

    /// Whether `line`, which is in a file, was returned before. Files have the lines in the same order.
    pub(super) fn has_had(&mut self, line: &[u8]) -> bool {
        let place = self.found.iter().position(|found| found == line);
        if let Some(place) = place {
            self.found.drain(..=place);
        }
        place.is_some()
    }

    fn forget(&mut self) {
        let mut bytes: usize = self.found.iter().map(Vec::len).sum();
        while bytes > REMEMBERED && self.found.len() > self.unread {
            bytes -= self.found.pop_front().map_or(0, |line| line.len());
        }
    }
}

/// How many of `lines` are known: the oldest may have gone since, and there may be new ones.
fn overlap(known: &VecDeque<Vec<u8>>, lines: &[&[u8]]) -> usize {
    let begins = |from: &usize| {
        let rest = known.iter().skip(*from);
        known.len() - from <= lines.len() && rest.zip(lines).all(|(known, line)| known == line)
    };
    (0..known.len())
        .find(begins)
        .map_or(0, |from| known.len() - from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_what_waits() {
        for (known, lines, want) in [
            (&[][..], &["a"][..], 0),
            (&["a"], &[], 0),
            (&["a"], &["a"], 1),
            (&["a"], &["a", "b"], 1),
            // The oldest were dropped.
            (&["a", "b", "c"], &["b", "c", "d"], 2),
            // Written to the disk since, and another line waits.
            (&["a", "b"], &["c"], 0),
            (&["a", "b", "c"], &["b"], 0),
            (&["a", "a"], &["a", "a", "a"], 2),
        ] {
            let known = known.iter().map(|line| line.as_bytes().to_vec()).collect();
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(overlap(&known, &lines), want, "{known:?} {lines:?}");
        }
    }
}
