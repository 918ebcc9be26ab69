//! Reads the folder from the oldest record to the youngest, and follows it.

mod filter;
mod lines;
mod memory;
mod recent;

pub use filter::{Boot, Filter, since};

use crate::files::Files;
use crate::record::Record;
use filter::Wanted;
use lines::Lines;
use memory::Memory;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// A reader's position: a file, identified by its first line because it may have been renamed, and an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Position {
    /// The first line of the file; empty before there is one.
    pub file: String,
    /// The offset up to which it has been read, in bytes.
    pub offset: u64,
    /// The boot of the last record that was read; empty before there is one, and in positions from older versions.
    #[serde(default)]
    pub boot: String,
}

/// Reads records, oldest first, over all files.
///
/// Lines that are not records, truncated by a crash or written by another program, are skipped.
#[derive(Debug)]
pub struct Reader {
    files: Files,
    wanted: Wanted,
    memory: Memory,
    lines: Option<Lines>,
    /// Lines read already, to be returned first.
    ahead: VecDeque<Vec<u8>>,
    line: Vec<u8>,
    /// The boot of the last record that was returned.
    boot: String,
    changes: Option<OwnedFd>,
    unreadable: Option<io::Error>,
}

impl Reader {
    /// Reads the records that pass `filter`, oldest first.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn open(folder: &Path, filter: &Filter) -> io::Result<Self> {
        Self::with_memory(folder, None, filter)
    }

    /// Like [`Reader::open`], but includes the lines that wait for the disk if `state` is the folder of the log's
    /// state. They are read even if the files cannot be, which [`Reader::unreadable`] reports.
    ///
    /// # Errors
    /// When the waiting lines cannot be read.
    pub fn with_memory(folder: &Path, state: Option<&Path>, filter: &Filter) -> io::Result<Self> {
        let mut reader = Self::unfiltered(Files::of(folder));
        reader.memory = Memory::of(state);
        reader.wanted = Wanted::resolve(filter, |back| reader.boot_back(back))?;
        Ok(reader)
    }

    /// Continues at another reader's position, with all records. `None` if that file is gone. If a power cut lost
    /// some of what was read, continues with the next boot's first record, which may be before the offset.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn resume(folder: &Path, position: &Position) -> io::Result<Option<Self>> {
        let mut reader = Self::unfiltered(Files::of(folder));
        if position.file.is_empty() {
            return Ok(Some(reader));
        }
        for mut lines in open_all(&reader.files)? {
            if lines.first()? == position.file {
                lines.seek_behind(position.offset, &position.boot)?;
                reader.boot.clone_from(&position.boot);
                reader.lines = Some(lines);
                return Ok(Some(reader));
            }
        }
        Ok(None)
    }

    fn unfiltered(files: Files) -> Self {
        Self {
            files,
            wanted: Wanted::default(),
            memory: Memory::default(),
            lines: None,
            ahead: VecDeque::new(),
            line: Vec::new(),
            boot: String::new(),
            changes: None,
            unreadable: None,
        }
    }

    /// The next record; `None` when there is none yet.
    ///
    /// # Errors
    /// When a file cannot be read.
    #[expect(
        clippy::should_implement_trait,
        reason = "a record borrows from the reader"
    )]
    pub fn next(&mut self) -> io::Result<Option<Record<'_>>> {
        while self.next_line()? {
            let Some(record) = Record::parse(&self.line) else {
                continue;
            };
            if self.wanted.lets(&record) {
                if self.boot != record.boot {
                    record.boot.clone_into(&mut self.boot);
                }
                return Ok(Record::parse(&self.line));
            }
        }
        Ok(None)
    }

    /// The number of lost lines that no record mentions yet: the disk was not writable, and memory was too small.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.memory.lost()
    }

    /// Why files could not be read since the last call, if the lines waiting in memory were read anyway.
    #[must_use]
    pub fn unreadable(&mut self) -> Option<io::Error> {
        self.unreadable.take()
    }

    /// The position after the last record that was read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn position(&mut self) -> io::Result<Position> {
        let Some(lines) = &mut self.lines else {
            return Ok(Position::default());
        };
        Ok(Position {
            file: lines.first()?,
            offset: lines.offset(),
            boot: self.boot.clone(),
        })
    }

    /// Waits until something may have been written, for at most `patience`.
    ///
    /// # Errors
    /// When the folder cannot be watched.
    pub fn wait(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let changes = self.watch()?;
        let mut polled = [PollFd::new(changes, PollFlags::IN)];
        let timeout = patience.map(|patience| Timespec {
            tv_sec: patience.as_secs() as i64,
            tv_nsec: i64::from(patience.subsec_nanos()),
        });
        match poll(&mut polled, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut space = [MaybeUninit::uninit(); 4096];
        let mut events = inotify::Reader::new(changes, &mut space);
        // The events themselves do not matter: the files show what happened.
        while events.next().is_ok() {}
        Ok(())
    }

    /// Starts to watch. To be called before the first read, so that nothing written between a read and a wait is
    /// missed.
    ///
    /// # Errors
    /// When the folder cannot be watched.
    pub fn watch(&mut self) -> io::Result<&OwnedFd> {
        use inotify::{CreateFlags, WatchFlags};
        let changes = match self.changes.take() {
            Some(changes) => changes,
            None => {
                let changes = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
                let written = WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVE;
                inotify::add_watch(&changes, self.files.folder(), written)?;
                if let Some(folder) = self.memory.folder() {
                    inotify::add_watch(&changes, folder, written)?;
                }
                changes
            }
        };
        Ok(self.changes.insert(changes))
    }

    /// Reads a line into `line`; false when there is none yet.
    fn next_line(&mut self) -> io::Result<bool> {
        if let Some(line) = self.ahead.pop_front() {
            self.line = line;
            return Ok(true);
        }
        loop {
            if self.memory.take(&mut self.line) || self.next_in_files()? {
                return Ok(true);
            }
            // In this order, a line that moves from memory to a file meanwhile is found in one of them.
            if !self.memory.look()? {
                return self.next_in_files();
            }
        }
    }

    /// Skips lines that were already read from memory.
    fn next_in_files(&mut self) -> io::Result<bool> {
        loop {
            let next = self.next_in_file();
            if !self.or_memory(next)? {
                return Ok(false);
            }
            if !self.memory.has_had(&self.line) {
                return Ok(true);
            }
        }
    }

    /// The result of a `read` of the files; empty if that failed but waiting lines can be read from memory.
    fn or_memory<T: Default>(&mut self, read: io::Result<T>) -> io::Result<T> {
        match read {
            Err(error) if self.memory.folder().is_some() => {
                self.unreadable = Some(error);
                Ok(T::default())
            }
            other => other,
        }
    }

    fn next_in_file(&mut self) -> io::Result<bool> {
        loop {
            if let Some(lines) = &mut self.lines {
                if lines.next(&mut self.line)? {
                    return Ok(true);
                }
            }
            let Some(next) = self.next_file()? else {
                return Ok(false);
            };
            // What was written between the last read and the rotation.
            if let Some(lines) = &mut self.lines {
                if lines.next(&mut self.line)? {
                    return Ok(true);
                }
            }
            self.lines = Some(next);
        }
    }

    /// The file after the current one, or the first one if there is none.
    fn next_file(&self) -> io::Result<Option<Lines>> {
        let Some(now) = &self.lines else {
            return Ok(open_all(&self.files)?.into_iter().next());
        };
        if fs::metadata(self.files.current()).is_ok_and(|file| file.ino() == now.inode()) {
            return Ok(None);
        }
        let open_files = open_all(&self.files)?;
        let place = open_files
            .iter()
            .position(|lines| lines.inode() == now.inode());
        // A file that was removed was older than all that are left.
        Ok(open_files
            .into_iter()
            .nth(place.map_or(0, |place| place + 1)))
    }
}

/// Opens all files, oldest first, including those that a rotation renames meanwhile.
fn open_all(files: &Files) -> io::Result<Vec<Lines>> {
    loop {
        let rotated = files.rotated()?;
        let paths = rotated.iter().map(|file| file.path.clone());
        let opened: io::Result<Vec<Option<Lines>>> = paths
            .chain([files.current()])
            .map(|path| open(&path))
            .collect();
        let opened = opened?;
        if files.rotated()? == rotated {
            return Ok(opened.into_iter().flatten().collect());
        }
    }
}

fn open(path: &Path) -> io::Result<Option<Lines>> {
    match File::open(path) {
        Ok(file) => {
            let inode = file.metadata()?.ino();
            Ok(Some(Lines::of(file, inode)))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
