//! How far each source has been written to the log, in files that outlive this process, so that no line is lost or
//! duplicated wherever the process is killed.
//!
//! A ledger is a file in memory, in the state folder, which lasts as long as a boot, like pipes and the kernel's
//! record numbers. Its first page holds the source's mark before and after the last write to the log, and the place
//! of that write. It is noted before the write; after a kill the log's length shows whether the write happened
//! ([`crate::store`]). After that page a pipe's ledger holds the bytes that were read from the pipe and are not in
//! the log yet. `splice(2)` moves them there, so each byte is always in one of the two places.
//!
//! A kill cannot split the write of a record of 72 bytes in one page. What a power cut does to memory does not
//! matter.

use rustix::fs::{FallocateFlags, fallocate};
use rustix::pipe::{SpliceFlags, splice};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the bytes of a pipe begin: after the first page.
const DATA: u64 = 4096;
/// Begins every ledger; the digit is the version of the format.
const MAGIC: u64 = u64::from_le_bytes(*b"tarelog1");
/// Fields of a note, each of 8 bytes.
const FIELDS: usize = 9;

/// The progress of a source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// What has been logged: bytes of a pipe, the kernel's next record number, the last message of syslog.
    pub(crate) done: u64,
    /// Dropped lines that the log does not mention yet.
    pub(crate) dropped: u64,
}

/// Where a write to the log goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// Which file.
    pub(crate) file: u64,
    /// The offset in it.
    pub(crate) offset: u64,
    /// How much, in bytes.
    pub(crate) length: u64,
}

/// The contents of a ledger's first page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Note {
    /// Numbers the notes of all ledgers.
    pub(crate) sequence: u64,
    pub(crate) place: Place,
    pub(crate) before: Mark,
    pub(crate) after: Mark,
}

/// The ledger of one source.
#[derive(Debug)]
pub(crate) struct Ledger {
    file: File,
    mark: Mark,
}

impl Ledger {
    /// Opens the ledger at `path`, or creates it.
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
            // Before the first byte is moved there: a kill after that would otherwise leave a file that is not a
            // ledger.
            write(&file, Note::default())?;
        }
        let mark = found.unwrap_or_default().after;
        Ok(Self { file, mark })
    }

    /// The note in the ledger at `path`, if there is one.
    pub(crate) fn look(path: &Path) -> Option<Note> {
        read(&File::open(path).ok()?)
    }

    /// The progress of its source.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }

    /// Notes that a write to `place` is about to advance its source to `after`.
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

    /// Notes that its source is at `mark`, whatever write was intended.
    pub(crate) fn settle(&mut self, sequence: u64, mark: Mark) -> io::Result<()> {
        self.mark = mark;
        self.intend(sequence, Place::default(), mark)
    }

    /// The intended write is done.
    pub(crate) fn accept(&mut self, after: Mark) {
        self.mark = after;
    }

    /// The number of bytes read from the pipe so far.
    ///
    /// # Errors
    /// When the file cannot be examined.
    pub(crate) fn given(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len().saturating_sub(DATA))
    }

    /// Moves up to `most` bytes from `pipe` to the ledger, after the `given` ones. 0 means that the pipe has ended.
    ///
    /// # Errors
    /// `WouldBlock` if it is empty.
    pub(crate) fn take(&self, pipe: impl AsFd, given: u64, most: usize) -> io::Result<usize> {
        let mut end = DATA + given;
        let flags = SpliceFlags::NONBLOCK;
        Ok(splice(pipe, None, &self.file, Some(&mut end), most, flags)?)
    }

    /// Fills `bytes` with what was read from the pipe, from offset `from`.
    ///
    /// # Errors
    /// When there are fewer bytes.
    pub(crate) fn read(&self, bytes: &mut [u8], from: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, DATA + from)
    }

    /// Frees the memory of what is in the log. Positions do not change: the file gets a hole there.
    ///
    /// # Errors
    /// When the file system does not support that.
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
