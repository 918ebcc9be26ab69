//! The files, and the lines that wait to be written to them.

use crate::line::{Entry, Moment};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const CURRENT: &str = "current.log";
/// Bytes that wait before they are written without waiting for the second to end.
const EAGER: usize = 64 << 10;
/// Bytes kept while nothing can be written; beyond, the oldest lines are dropped.
const KEPT: usize = 256 << 10;

/// In bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) file: u64,
    pub(crate) total: u64,
}

/// Files in a folder, rotated, and what waits for them.
pub(crate) struct Store {
    folder: PathBuf,
    limits: Limits,
    current: Option<Current>,
    waiting: Vec<u8>,
    lost: u64,
    failing: bool,
}

/// The file that is written, and its length.
struct Current {
    file: File,
    length: u64,
}

impl Store {
    pub(crate) fn new(folder: &Path, limits: Limits) -> Self {
        Self {
            folder: folder.to_owned(),
            limits,
            current: None,
            waiting: Vec::new(),
            lost: 0,
            failing: false,
        }
    }

    /// Adds a line to what waits.
    pub(crate) fn push(&mut self, entry: &Entry) {
        if self.waiting.len() > KEPT {
            self.drop_oldest();
        }
        entry.format(&mut self.waiting);
        if self.waiting.len() > EAGER && !self.failing {
            self.write();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// True once so much waits that it should be written now.
    pub(crate) fn is_eager(&self) -> bool {
        self.waiting.len() > EAGER && !self.failing
    }

    /// Writes what waits. What cannot be written goes on waiting, and the next call tries again.
    pub(crate) fn write(&mut self) {
        let written = self.try_write().and_then(|()| {
            self.note_lost();
            self.try_write()
        });
        match written {
            Ok(()) => self.failing = false,
            Err(error) => self.fail(&error),
        }
    }

    /// Writes what waits and brings it to the disk.
    pub(crate) fn close(mut self) {
        self.write();
        if let Some(current) = &self.current {
            // Nobody is left to be told.
            let _ = current.file.sync_data();
        }
    }

    fn try_write(&mut self) -> io::Result<()> {
        while !self.waiting.is_empty() {
            let mut current = match self.current.take() {
                Some(current) => current,
                None => Current::open(&self.folder.join(CURRENT))?,
            };
            let count = current.file.write(&self.waiting)?;
            self.waiting.drain(..count);
            current.length += count as u64;
            match current.length >= self.limits.file {
                true => self.rotate(&current)?,
                false => self.current = Some(current),
            }
        }
        Ok(())
    }

    /// The first of a row of failures is reported, on this service's own stderr: it comes back
    /// through its pipe and waits with the rest. A full disk may be our own doing, so the oldest
    /// file goes.
    fn fail(&mut self, error: &io::Error) {
        self.current = None;
        if !self.failing {
            eprintln!("cannot write: {error}; keeping what fits in memory");
        }
        self.failing = true;
        if error.kind() == io::ErrorKind::StorageFull {
            let oldest = self
                .rotated()
                .ok()
                .and_then(|files| files.into_iter().next());
            if let Some((_, oldest, _)) = oldest {
                // If this fails too there is nothing left to try.
                let _ = fs::remove_file(oldest);
            }
        }
    }

    fn note_lost(&mut self) {
        if self.lost == 0 {
            return;
        }
        let text = format!("{} lines lost while nothing could be written", self.lost);
        self.lost = 0;
        Entry {
            at: Moment::now(),
            who: "log",
            place: "store",
            text: text.as_bytes(),
        }
        .format(&mut self.waiting);
    }

    /// Drops a quarter of what waits, in whole lines.
    fn drop_oldest(&mut self) {
        let from = KEPT / 4;
        let line_end = self.waiting[from..].iter().position(|byte| *byte == b'\n');
        let end = line_end.map_or(self.waiting.len(), |at| from + at + 1);
        let dropped = self.waiting.drain(..end).filter(|byte| *byte == b'\n');
        self.lost += dropped.count() as u64;
    }

    /// Puts the current file, which is full, behind the others and makes room.
    fn rotate(&self, current: &Current) -> io::Result<()> {
        current.file.sync_data()?;
        let last = self.rotated()?.last().map_or(0, |(number, ..)| *number);
        let path = self.folder.join(format!("{:08}.log", last + 1));
        fs::rename(self.folder.join(CURRENT), path)?;
        self.make_room()
    }

    /// Removes the oldest files until a new one fits.
    fn make_room(&self) -> io::Result<()> {
        let files = self.rotated()?;
        let mut total: u64 = files.iter().map(|(.., length)| length).sum();
        for (_, path, length) in files {
            if total + self.limits.file <= self.limits.total {
                break;
            }
            fs::remove_file(path)?;
            total -= length;
        }
        Ok(())
    }

    /// Number, path and length of each rotated file, the oldest first.
    fn rotated(&self) -> io::Result<Vec<(u64, PathBuf, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".log"));
            if let Some(number) = number.and_then(|number| number.parse().ok()) {
                files.push((number, entry.path(), entry.metadata()?.len()));
            }
        }
        files.sort();
        Ok(files)
    }
}

impl Current {
    /// Goes on with the file at `path`. A line that a crash cut off is ended.
    fn open(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let mut length = file.metadata()?.len();
        if length > 0 && last_byte(path, length)? != b'\n' {
            file.write_all(b"\n")?;
            length += 1;
        }
        Ok(Self { file, length })
    }
}

fn last_byte(path: &Path, length: u64) -> io::Result<u8> {
    use std::os::unix::fs::FileExt;
    let mut byte = [0];
    File::open(path)?.read_exact_at(&mut byte, length - 1)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests;
