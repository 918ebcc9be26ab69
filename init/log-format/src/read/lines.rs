//! Lines of one file.

use crate::record::{LONGEST_LINE, Record};
use memchr::{memchr, memchr2};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes per read.
const AT_ONCE: usize = 128 << 10;

/// A file that may still grow, read line by line.
#[derive(Debug)]
pub(super) struct Lines {
    file: File,
    inode: u64,
    /// Where in the file `buffer` begins.
    base: u64,
    buffer: Vec<u8>,
    /// How much of `buffer` has been returned.
    used: usize,
    /// Whether this is inside a line that is longer than any of ours.
    skipping: bool,
    first: String,
}

impl Lines {
    pub(super) fn of(file: File, inode: u64) -> Self {
        Self {
            file,
            inode,
            base: 0,
            buffer: Vec::new(),
            used: 0,
            skipping: false,
            first: String::new(),
        }
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode
    }

    /// The offset after the last line that was returned.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.used as u64
    }

    /// Seeks to `offset`, or to the first record of a boot after `boot` if that comes before it.
    pub(super) fn seek_behind(&mut self, offset: u64, boot: &str) -> io::Result<()> {
        self.seek(0)?;
        let (mut line, mut begun) = (Vec::new(), false);
        loop {
            let at = self.offset();
            if boot.is_empty() || at >= offset || !self.next(&mut line)? {
                return self.seek(offset);
            }
            match Record::parse(&line) {
                Some(record) if record.boot == boot => begun = true,
                Some(_) if begun => return self.seek(at),
                _ => {}
            }
        }
    }

    fn seek(&mut self, offset: u64) -> io::Result<()> {
        // A file that was truncated since is read from its end.
        self.base = offset.min(self.file.metadata()?.len());
        self.buffer.clear();
        self.used = 0;
        self.skipping = false;
        Ok(())
    }

    /// The first line, which identifies the file; empty while it is incomplete.
    pub(super) fn first(&mut self) -> io::Result<String> {
        if self.first.is_empty() {
            let mut bytes = vec![0; LONGEST_LINE];
            let length = self.file.read_at(&mut bytes, 0)?;
            let end = memchr(b'\n', &bytes[..length]).unwrap_or(0);
            self.first = String::from_utf8_lossy(&bytes[..end]).into_owned();
        }
        Ok(self.first.clone())
    }

    /// Replaces `line` with the next complete line, without its end; false when there is none yet. A zero byte also
    /// ends a line: texts have none, and after a power cut there are zeros where nothing was written.
    pub(super) fn next(&mut self, line: &mut Vec<u8>) -> io::Result<bool> {
        loop {
            let rest = &self.buffer[self.used..];
            if let Some(end) = memchr2(b'\n', 0, rest) {
                line.clear();
                line.extend_from_slice(&rest[..end]);
                self.used += end + 1;
                if !std::mem::take(&mut self.skipping) {
                    return Ok(true);
                }
                continue;
            }
            if rest.len() > LONGEST_LINE {
                self.skipping = true;
                self.used = self.buffer.len();
            }
            if !self.fill()? {
                return Ok(false);
            }
        }
    }

    /// Reads more; false at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.buffer.drain(..self.used);
        self.base += self.used as u64;
        self.used = 0;
        let kept = self.buffer.len();
        self.buffer.resize(kept + AT_ONCE, 0);
        let read = self
            .file
            .read_at(&mut self.buffer[kept..], self.base + kept as u64);
        self.buffer.truncate(kept + *read.as_ref().unwrap_or(&0));
        Ok(read? > 0)
    }
}
