//! The files: written, rotated, bounded by size and age.

use crate::ledger::Place;
use rustix::fs::fstatvfs;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};
use tare_log::{Files, Record};

/// No clock that is right shows less (2025, since 1970): what was written under another one has no age, only a size.
const SANE: Duration = Duration::from_secs(1_735_689_600);
/// A share of the age that may lie in one file, which goes as a whole.
const PART_OF_AGE: u32 = 8;

/// What the files may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The size at which a file is rotated, in bytes.
    pub(crate) file: u64,
    /// What all files may take, in bytes.
    pub(crate) total: u64,
    /// How old lines may become.
    pub(crate) age: Duration,
}

/// The folder with the files.
#[derive(Debug)]
pub(crate) struct Disk {
    files: Files,
    limits: Limits,
    current: Option<Current>,
    /// The highest number that a file has had.
    last: u64,
}

/// The file that is written.
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

    /// Removes what was written of a write to `place` if that was not finished; true if it was.
    ///
    /// # Errors
    /// When the file cannot be looked at or cut.
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
    /// When that is not possible.
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

    /// Brings what was written to the disk.
    pub(crate) fn sync(&self) {
        if let Some(current) = &self.current {
            // Nobody is left to be told.
            let _ = current.file.sync_data();
        }
    }

    /// Looks whether the file that is written is still the one in the folder: somebody may have removed or cut it.
    pub(crate) fn check(&mut self) {
        let same = |current: &Current| {
            let found = fs::metadata(self.files.current());
            found.is_ok_and(|found| found.ino() == current.inode && found.len() == current.length)
        };
        if !self.current.as_ref().is_none_or(same) {
            self.current = None;
        }
    }

    /// Removes files whose youngest line is too old, and begins a new file often enough for that. `synced` is whether
    /// the clock follows a time source: by any other clock, which may be wrong by years, nothing is old.
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

    /// Puts the current file behind the others and makes room. The kernel brings it to the disk when it pleases, as
    /// all that is written: to wait for that would make everybody wait who logs.
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

    /// A quarter of the file system, but always two files.
    fn share(&self) -> io::Result<u64> {
        let found = fstatvfs(File::open(self.files.folder())?)?;
        Ok((found.f_blocks * found.f_frsize / 4).max(2 * self.limits.file))
    }
}

impl Current {
    /// Goes on with the file at `path`. A line that a power cut cut off is ended.
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

/// When the first line of `file` was written, by what it says.
fn begun(file: &File) -> Option<SystemTime> {
    let mut bytes = [0; 512];
    let length = file.read_at(&mut bytes, 0).ok()?;
    let line = bytes[..length].split(|byte| *byte == b'\n').next()?;
    humantime::parse_rfc3339(Record::parse(line)?.wall).ok()
}

#[cfg(test)]
mod tests;
