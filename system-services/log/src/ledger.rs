//! How far each source has been kept, in files that outlive this process: nothing is lost and nothing is there
//! twice, wherever it is killed.
//!
//! A ledger is a file in memory (the state folder, which lasts as long as a boot, as pipes and the kernel's
//! record numbers do). Its first page says where the source stood before and after the last write to the log,
//! and where in the log that write went. It is noted before the write; after a kill the log's length tells
//! whether the write happened ([`crate::store`]). Behind that page a pipe's ledger holds the bytes that the
//! pipe has given and that are not in the log yet: `splice(2)` moves them there, so that each byte is always in
//! one of the two places.
//!
//! A record of 72 bytes in one page is written whole or not at all as far as a kill goes; what a power cut
//! does to memory is of no interest.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::pipe::{SpliceFlags, splice};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the bytes of a pipe begin: behind the first page.
const DATA: u64 = 4096;
/// Begins every ledger; the digit counts formats.
const MAGIC: u64 = u64::from_le_bytes(*b"tarelog1");
/// Fields of a note, each of 8 bytes.
const FIELDS: usize = 9;

/// Where a source stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// What has been kept: bytes of a pipe, the kernel's next record number, the last message of syslog.
    pub(crate) done: u64,
    /// Lines that were dropped and that the log does not tell of yet.
    pub(crate) dropped: u64,
}

/// Where a write to the log goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which file.
    pub(crate) file: u64,
    /// Where in it.
    pub(crate) offset: u64,
    /// How much, in bytes.
    pub(crate) length: u64,
}

/// What a ledger says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Counts the notes of all ledgers.
    pub(crate) sequence: u64,
    pub(crate) place: Place,
    pub(crate) before: Mark,
    pub(crate) after: Mark,
}

/// One source's.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    mark: Mark,
}

impl Ledger {
    /// Opens the ledger at `path`, a new one if there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file.open(path)?;
        let found = read(&file);
        if found.is_none() {
            file.set_len(0)?;
            file.set_len(DATA)?;
            // Before it takes the first byte, or a kill then would make it no ledger.
            write(&file, Note::default())?;
        }
        let mark = found.unwrap_or_default().after;
        Ok(Self { file, mark })
    }

    /// What the ledger at `path` says, if it says something.
    pub(crate) fn look(path: &Path) -> Option<Note> {
        read(&File::open(path).ok()?)
    }

    /// Where its source stands.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Notes that a write to `place` is about to bring its source to `after`.
    pub(crate) fn intend(&self, sequence: u64, place: Place, after: Mark) -> io::Result<()> {
        write(
            &self.file,
            Note {
                sequence,
                place,
                before: self.mark,
                after,
            },
        )
    }

    /// Notes that its source stands at `mark`, whatever was about to be written.
    pub(crate) fn settle(&mut self, sequence: u64, mark: Mark) -> io::Result<()> {
        self.mark = mark;
        self.intend(sequence, Place::default(), mark)
    }

    /// The write that was intended is done.
    pub(crate) fn accept(&mut self, after: Mark) {
        self.mark = after;
    }

    /// How many bytes the pipe has given so far.
    ///
    /// # Errors
    /// When the file cannot be looked at.
    pub(crate) fn given(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(DATA))
    }

    /// Moves what is in `pipe`, `most` bytes of it, behind what it has `given`. 0: it has ended.
    ///
    /// # Errors
    /// `WouldBlock` if it is empty.
    pub(crate) fn take(&self, pipe: impl AsFd, given: u64, most: usize) -> io::Result<usize> {
        let mut end = DATA + given;
        let flags = SpliceFlags::NONBLOCK;
        Ok(splice(pipe, None, &self.file, Some(&mut end), most, flags)?)
    }

    /// Reads what the pipe gave, from `from` on, until `bytes` is full.
    ///
    /// # Errors
    /// When there is less.
    pub(crate) fn read(&self, bytes: &mut [u8], from: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, DATA + from)
    }

    /// Gives back the memory of what has been kept. Positions stay: the file has a hole there.
    ///
    /// # Errors
    /// When the file system cannot do that.
    pub(crate) fn free(&self) -> io::Result<()> {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        match self.mark.done {
            0 => Ok(()),
            done => Ok(fallocate(&self.file, flags, DATA, done)?),
        }
    }
}

fn read(file: &File) -> Option<Note> {
    let mut bytes = [0; FIELDS * 8];
    file.read_exact_at(&mut bytes, 0).ok()?;
    let mut fields = [0; FIELDS];
    for (field, bytes) in fields.iter_mut().zip(bytes.chunks_exact(8)) {
        *field = u64::from_le_bytes(bytes.try_into().ok()?);
    }
    let [
        magic,
        sequence,
        place,
        offset,
        length,
        before @ ..,
        done,
        dropped,
    ] = fields;
    let mark = |[done, dropped]: [u64; 2]| Mark { done, dropped };
    (magic == MAGIC).then(|| Note {
        sequence,
        place: Place {
            file: place,
            offset,
            length,
        },
        before: mark(before),
        after: mark([done, dropped]),
    })
}

fn write(file: &File, note: Note) -> io::Result<()> {
    let Note {
        sequence,
        place,
        before,
        after,
    } = note;
    let fields: [u64; FIELDS] = [
        MAGIC,
        sequence,
        place.file,
        place.offset,
        place.length,
        before.done,
        before.dropped,
        after.done,
        after.dropped,
    ];
    let mut bytes = [0; FIELDS * 8];
    for (bytes, field) in bytes.chunks_exact_mut(8).zip(fields) {
        bytes.copy_from_slice(&field.to_le_bytes());
    }
    file.write_all_at(&bytes, 0)
}

#[cfg(test)]
mod tests;
