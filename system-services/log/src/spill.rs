//! Lines that cannot be written to the disk, in a file in memory that outlives this process: a [`Waiting`]. When it
//! is full, the younger half moves to the next generation.

use crate::ledger::Place;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tare_log_format::Waiting;

/// The most bytes to keep; beyond that, the older half is dropped.
const KEPT: u64 = 512 << 10;
/// Distinguishes generations from inodes in the file of a [`Place`].
const SPILL: u64 = 1 << 63;

/// The waiting lines.
#[derive(Debug)]
pub(crate) struct Spill {
    folder: PathBuf,
    generation: u64,
    file: Option<File>,
    length: u64,
}

impl Spill {
    /// The lines that wait in `folder`, unless their generation is one of those `written` to the disk already.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub(crate) fn open(folder: &Path, written: u64) -> io::Result<Self> {
        let mut found = Waiting::generations(folder)?;
        let youngest = found.pop().filter(|generation| *generation > written);
        let mut spill = Self {
            folder: folder.to_owned(),
            generation: youngest.unwrap_or(written),
            file: None,
            length: 0,
        };
        for old in found {
            fs::remove_file(spill.path(old))?;
        }
        match youngest {
            Some(_) => spill.reopen()?,
            None => spill.discard(),
        }
        Ok(spill)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.file.is_none()
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation
    }

    /// Removes an incomplete write to `place`; true if the write is complete, `None` if the place is not ours.
    ///
    /// # Errors
    /// When the file cannot be truncated.
    pub(crate) fn finished(&mut self, place: Place) -> io::Result<Option<bool>> {
        if place.file & SPILL == 0 {
            return Ok(None);
        }
        let end = place.offset + place.length;
        let Some(file) = self.file.as_ref().filter(|_| place.file == self.id()) else {
            return Ok(Some(true));
        };
        let finished = self.length >= end;
        if !finished && self.length > place.offset {
            file.set_len(place.offset)?;
            self.length = place.offset;
        }
        Ok(Some(finished))
    }

    /// Where a write of `length` bytes will go. Drops the older half if it would not fit.
    ///
    /// # Errors
    /// When there is no memory.
    pub(crate) fn place(&mut self, length: u64) -> io::Result<Place> {
        match &self.file {
            None => self.begin(0, &[])?,
            Some(_) if self.length + length > KEPT => self.halve()?,
            Some(_) => {}
        }
        Ok(Place {
            file: self.id(),
            offset: self.length,
            length,
        })
    }

    /// Appends `lines`.
    ///
    /// # Errors
    /// When there is no memory.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        if let Err(error) = file.write_all_at(lines, self.length) {
            return file.set_len(self.length).and(Err(error));
        }
        self.length += lines.len() as u64;
        Ok(())
    }

    /// How many lines were dropped, and the waiting ones.
    ///
    /// # Errors
    /// When they cannot be read.
    pub(crate) fn contents(&self) -> io::Result<(u64, Vec<u8>)> {
        let Some(file) = &self.file else {
            return Ok((0, Vec::new()));
        };
        let (mut dropped, mut lines) = ([0; 8], vec![0; (self.length - Waiting::DATA) as usize]);
        file.read_exact_at(&mut dropped, 0)?;
        file.read_exact_at(&mut lines, Waiting::DATA)?;
        Ok((u64::from_le_bytes(dropped), lines))
    }

    /// The lines have been written: frees the memory.
    pub(crate) fn discard(&mut self) {
        // If the file cannot be removed, its generation shows that it has been written.
        let _ = fs::remove_file(self.path(self.generation));
        self.file = None;
        self.length = 0;
    }

    fn id(&self) -> u64 {
        SPILL | self.generation
    }

    fn path(&self, generation: u64) -> PathBuf {
        Waiting::path(&self.folder, generation)
    }

    fn reopen(&mut self) -> io::Result<()> {
        let path = self.path(self.generation);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        self.length = file.metadata()?.len().max(Waiting::DATA);
        self.file = Some(file);
        Ok(())
    }

    /// Drops the older half, in whole lines.
    fn halve(&mut self) -> io::Result<()> {
        let (before, lines) = self.contents()?;
        let half = (lines.len() / 2).min((KEPT / 2) as usize);
        let from = lines.len() - half;
        let line_end = lines[from..].iter().position(|byte| *byte == b'\n');
        let (gone, kept) = lines.split_at(line_end.map_or(lines.len(), |end| from + end + 1));
        self.begin(before + count(gone), kept)
    }

    /// Begins the next generation, which is complete as soon as it has its name.
    fn begin(&mut self, dropped: u64, lines: &[u8]) -> io::Result<()> {
        let (old, new) = (self.generation, self.generation + 1);
        let unfinished = self.folder.join("spill.new");
        fs::write(&unfinished, [&dropped.to_le_bytes()[..], lines].concat())?;
        fs::rename(&unfinished, self.path(new))?;
        self.generation = new;
        self.reopen()?;
        match fs::remove_file(self.path(old)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The number of lines in `lines`.
pub(crate) fn count(lines: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', lines).count() as u64
}

#[cfg(test)]
mod tests;
