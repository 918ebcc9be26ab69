//! The files: written, rotated, bounded by size and age.

use crate::ledger::Place;
use rustix::fs::fstatvfs;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tare_log_format::{Files, Record};

/// No correct clock shows less (2025, since 1970): a file written under another one has no age, only a size.
const SANE: Duration = Duration::from_secs(1_735_689_600);
/// One file covers at most this fraction of the age, because files are removed as a whole.
const PART_OF_AGE: u32 = 8;

/// Limits of the log's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The size at which a file is rotated, in bytes.
    pub(crate) file: u64,
    /// The size of all files together, in bytes.
    pub(crate) total: u64,
    /// The age of the oldest lines.
    pub(crate) age: Duration,
}

/// The folder with the files.
#[derive(Debug)]
pub(crate) struct Disk {
    files: Files,
    limits: Limits,
    current: Option<Current>,
    /// The highest file number used so far.
    last: u64,
}

/// The file that is being written.
#[derive(Debug)]
struct Current {
    file: File,
    inode: u64,
    length: u64,
    /// When its first line was written.
    begun: SystemTime,
}

impl Disk {
    pub(crate) fn new(folder: &Path, limits: Limits) -> Self {
        Self {
            files: Files::of(folder),
            limits,
            current: None,
            last: 0,
        }
    }

    /// Removes an incomplete write to `place`; true if the write is complete.
    ///
    /// # Errors
    /// When the file cannot be examined or truncated.
    pub(crate) fn finished(&self, place: Place) -> io::Result<bool> {
        let file = match File::options().write(true).open(self.files.current()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(true),
            other => other?,
        };
        let found = file.metadata()?;
        if found.ino() != place.file || found.len() >= place.offset + place.length {
            return Ok(true);
        }
        if found.len() > place.offset {
            file.set_len(place.offset)?;
        }
        Ok(false)
    }

    /// Where a write of `length` bytes will go. Rotates if it would not fit.
    ///
    /// # Errors
    /// When there is no file to write to.
    pub(crate) fn place(&mut self, length: u64) -> io::Result<Place> {
        let current = self.current()?;
        let full = current.length > 0 && current.length + length > self.limits.file;
        if full {
            self.rotate()?;
        }
        let current = self.current()?;
        Ok(Place {
            file: current.inode,
            offset: current.length,
            length,
        })
    }

    /// Appends `lines`, all or none of them.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let current = self.current()?;
        if let Err(error) = current.file.write_all(lines) {
            let cut = current.file.set_len(current.length);
            self.current = None;
            return cut.and(Err(error));
        }
        current.length += lines.len() as u64;
        Ok(())
    }

    /// Syncs what was written to the disk.
    pub(crate) fn sync(&self) {
        if let Some(current) = &self.current {
            // There is nowhere left to report an error.
            let _ = current.file.sync_data();
        }
    }

    /// Checks that the open file is still the one in the folder; another process may have removed or truncated it.
    pub(crate) fn check(&mut self) {
        let same = |current: &Current| {
            let found = fs::metadata(self.files.current());
            found.is_ok_and(|found| found.ino() == current.inode && found.len() == current.length)
        };
        if !self.current.as_ref().is_none_or(same) {
            self.current = None;
        }
    }

    /// Removes files whose youngest line is too old, and rotates often enough for that. `synced` is whether the clock
    /// follows a time source. A clock that does not may be wrong by years, so nothing is old by it.
    ///
    /// # Errors
    /// When a file cannot be moved or removed.
    pub(crate) fn expire(&mut self, now: SystemTime, synced: bool) -> io::Result<()> {
        if !synced {
            return Ok(());
        }
        let oldest = now.checked_sub(self.limits.age);
        let begun = now.checked_sub(self.limits.age / PART_OF_AGE);
        let old = |current: &Current| current.length > 0 && Some(current.begun) < begun;
        if self.current.as_ref().is_some_and(old) {
            self.rotate()?;
        }
        for file in self.files.rotated()? {
            let youngest = fs::metadata(&file.path)?.modified()?;
            if youngest >= SystemTime::UNIX_EPOCH + SANE && Some(youngest) < oldest {
                fs::remove_file(file.path)?;
            }
        }
        Ok(())
    }

    fn current(&mut self) -> io::Result<&mut Current> {
        let current = match self.current.take() {
            Some(current) => current,
            None => Current::open(&self.files.current())?,
        };
        Ok(self.current.insert(current))
    }

    /// Moves the current file behind the others and makes room. The kernel writes it to the disk in its own time, as
    /// it does with everything: waiting for that would block every service that logs.
    fn rotate(&mut self) -> io::Result<()> {
        self.current = None;
        let rotated = self.files.rotated()?;
        let youngest = rotated.last().map_or(0, |file| file.number);
        self.last = self.last.max(youngest) + 1;
        fs::rename(self.files.current(), self.files.rotated_path(self.last))?;
        self.make_room()
    }

    /// Removes the oldest files until a new one fits.
    fn make_room(&self) -> io::Result<()> {
        let mut files = Vec::new();
        for file in self.files.rotated()? {
            let length = fs::metadata(&file.path)?.len();
            files.push((file.path, length));
        }
        let mut total: u64 = files.iter().map(|(_, length)| length).sum();
        let most = self.limits.total.min(self.share()?);
        for (path, length) in files {
            if total + self.limits.file <= most {
                break;
            }
            fs::remove_file(path)?;
            total -= length;
        }
        Ok(())
    }

    /// A quarter of the file system, but at least two files.
    fn share(&self) -> io::Result<u64> {
        let found = fstatvfs(File::open(self.files.folder())?)?;
        Ok((found.f_blocks * found.f_frsize / 4).max(2 * self.limits.file))
    }
}

impl Current {
    /// Opens the file at `path` to append to it. Ends a line that a power cut truncated.
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let mut file = options.read(true).append(true).create(true).open(path)?;
        let found = file.metadata()?;
        let mut length = found.len();
        if length > 0 && byte(&file, length - 1)? != b'\n' {
            file.write_all(b"\n")?;
            length += 1;
        }
        Ok(Self {
            begun: begun(&file).unwrap_or_else(SystemTime::now),
            inode: found.ino(),
            length,
            file,
        })
    }
}

fn byte(file: &File, at: u64) -> io::Result<u8> {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(byte[0])
}

/// When the first line of `file` was written, according to its time stamp.
fn begun(file: &File) -> Option<SystemTime> {
    let mut bytes = [0; 512];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let line = bytes[..length].split(|byte| *byte == b'\n').next()?;
    humantime::parse_rfc3339(Record::parse(line)?.wall).ok()
}

#[cfg(test)]
mod tests;
