//! The GUID partition table, as far as growing one partition needs it (UEFI specification, section 5.3).
//!
//! The crate `gpt` writes entry by entry in no particular order. Here the backup is completely on disk before the
//! primary is touched, and the primary is one write, so one of the two is intact whenever the power fails.

use crc::{CRC_32_ISO_HDLC, Crc};
use std::fmt;
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// Set while a partition is not yet formatted; bits 48 and up are the partition type's own. An image sets it
/// (`image-build/src/disk.rs`).
const MARK: u64 = 1 << 48;

/// Fields of the header, in bytes from its start.
mod header {
    pub(super) const LENGTH: usize = 12;
    pub(super) const CRC: usize = 16;
    pub(super) const OWN: usize = 24;
    pub(super) const OTHER: usize = 32;
    pub(super) const LAST_USABLE: usize = 48;
    pub(super) const ENTRIES: usize = 72;
    pub(super) const ENTRY_COUNT: usize = 80;
    pub(super) const ENTRY_LENGTH: usize = 84;
    pub(super) const ENTRIES_CRC: usize = 88;
    /// The minimum length of a header.
    pub(super) const LEAST: usize = 92;
}

/// Fields of an entry, in bytes from its start.
mod entry {
    pub(super) const FIRST: usize = 32;
    pub(super) const LAST: usize = 40;
    pub(super) const ATTRIBUTES: usize = 48;
    /// The minimum length of an entry.
    pub(super) const LEAST: usize = 128;
}

/// The protective MBR's only partition, in bytes from the start of the disk, and the position of its length in
/// sectors.
const PROTECTIVE: usize = 446;
const PROTECTIVE_LENGTH: usize = PROTECTIVE + 12;
/// The position of an MBR's signature.
const SIGNATURE: usize = 510;

/// One of the two copies of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// At the start of the disk.
    Primary,
    /// At its end.
    Backup,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary copy",
            Self::Backup => "backup copy",
        })
    }
}

/// A table that was read from a disk and found sound. Positions are in logical sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Where it was read from.
    place: Place,
    sector: usize,
    /// The protective MBR and the header, a sector each.
    mbr: Vec<u8>,
    header: Vec<u8>,
    entries: Vec<u8>,
    entry_length: usize,
}

/// The sectors of a partition, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Table {
    /// The primary table of `disk`, which has `size` bytes in sectors of `sector` bytes, or the backup at its end if
    /// the primary is damaged.
    ///
    /// # Errors
    /// When the disk cannot be read, or both tables are damaged or of an unusual layout. The error is that of the primary.
    pub(crate) fn read(disk: &File, sector: u64, size: u64) -> io::Result<Self> {
        let last = size / sector - 1;
        Self::read_at(disk, sector, 1, Place::Primary).or_else(|error| {
            let backup = Self::read_at(disk, sector, last, Place::Backup);
            backup.map_err(|_| error)
        })
    }

    /// The table whose header is sector `at`.
    fn read_at(disk: &File, sector: u64, at: u64, place: Place) -> io::Result<Self> {
        let bytes = usize::try_from(sector).map_err(io::Error::other)?;
        let mut mbr = vec![0; bytes];
        disk.read_exact_at(&mut mbr, 0)?;
        let mut header = vec![0; bytes];
        disk.read_exact_at(&mut header, at * sector)?;
        let length = check_header(&header, at)?;
        let sectors = length.div_ceil(bytes) as u64;
        let entries_at = get64(&header, header::ENTRIES);
        let usual = match place {
            Place::Primary => 2,
            Place::Backup => at.saturating_sub(sectors),
        };
        if entries_at != usual {
            return Err(unusual());
        }
        let mut entries = vec![0; length];
        disk.read_exact_at(&mut entries, entries_at * sector)?;
        if crc(&entries) != get32(&header, header::ENTRIES_CRC) {
            return Err(damaged("damaged entries"));
        }
        if place == Place::Backup {
            set64(&mut header, header::OTHER, at);
            protect(&mut mbr, at + 1);
        }
        Ok(Self {
            place,
            sector: bytes,
            mbr,
            entry_length: get32(&header, header::ENTRY_LENGTH) as usize,
            header,
            entries,
        })
    }

    /// The copy of this table on `disk` that is damaged and can be rewritten.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub(crate) fn damaged_copy(&self, disk: &File) -> io::Result<Option<Place>> {
        if self.place == Place::Backup {
            return Ok(Some(Place::Primary));
        }
        let at = get64(&self.header, header::OTHER);
        let sectors = disk_size(disk)? / self.sector as u64;
        // There is no valid place for it: the disk was made smaller, or a partition is in its place.
        if at >= sectors || self.last_used() + self.entry_sectors() >= at {
            return Ok(None);
        }
        let backup = Self::read_at(disk, self.sector as u64, at, Place::Backup);
        let is_same = backup.is_ok_and(|backup| backup.entries == self.entries);
        Ok((!is_same).then_some(Place::Backup))
    }

    /// The last sector of the last partition.
    fn last_used(&self) -> u64 {
        let entries = self.entries.chunks(self.entry_length);
        entries
            .map(|entry| get64(entry, entry::LAST))
            .max()
            .unwrap_or_default()
    }

    /// The extent of partition `number`, counted from 1.
    pub(crate) fn extent(&self, number: u32) -> Option<Extent> {
        let entry = self.entry(number)?;
        Some(Extent {
            first: get64(entry, entry::FIRST),
            last: get64(entry, entry::LAST),
        })
    }

    /// Whether partition `number` is marked as not yet formatted.
    pub(crate) fn is_marked(&self, number: u32) -> bool {
        let attributes = self
            .entry(number)
            .map(|entry| get64(entry, entry::ATTRIBUTES));
        attributes.is_some_and(|attributes| attributes & MARK != 0)
    }

    /// Marks partition `number` as not yet formatted, or removes the mark.
    pub(crate) fn set_marked(&mut self, number: u32, marked: bool) {
        let Some(entry) = self.entry_mut(number) else {
            return;
        };
        let others = get64(entry, entry::ATTRIBUTES) & !MARK;
        let mark = if marked { MARK } else { 0 };
        set64(entry, entry::ATTRIBUTES, others | mark);
    }

    /// The last sector that partition `number` could reach on a disk of `sectors` sectors; `None` if another
    /// partition is in the way. The end is aligned to a MiB.
    pub(crate) fn room(&self, number: u32, sectors: u64) -> Option<u64> {
        let own = self.extent(number)?;
        let count = (self.entries.len() / self.entry_length) as u32;
        let mut others = (1..=count).filter(|other| *other != number);
        if others.any(|other| {
            self.extent(other)
                .is_some_and(|other| other.last > own.last)
        }) {
            return None;
        }
        let per_mib = (1 << 20) / self.sector as u64;
        let end = self.last_usable(sectors) + 1;
        Some(end / per_mib * per_mib)
            .filter(|end| *end > own.last + 1)
            .map(|end| end - 1)
    }

    /// Makes partition `number` end at sector `last`, and adapts the table to a disk of `sectors` sectors.
    pub(crate) fn set_last(&mut self, number: u32, last: u64, sectors: u64) {
        let last_usable = self.last_usable(sectors);
        if let Some(entry) = self.entry_mut(number) {
            set64(entry, entry::LAST, last);
        }
        set64(&mut self.header, header::LAST_USABLE, last_usable);
        set64(&mut self.header, header::OTHER, sectors - 1);
        set32(&mut self.mbr, PROTECTIVE_LENGTH, protective_length(sectors));
    }

    /// Writes the backup, then the primary.
    ///
    /// # Errors
    /// When the disk cannot be written.
    pub(crate) fn write(&self, disk: &File) -> io::Result<()> {
        let last = get64(&self.header, header::OTHER);
        let entries_at = last - self.entry_sectors();
        let backup = [self.padded_entries(), self.header_at(last, 1, entries_at)].concat();
        disk.write_all_at(&backup, entries_at * self.sector as u64)?;
        disk.sync_all()?;
        let primary = [
            self.mbr.clone(),
            self.header_at(1, last, 2),
            self.entries.clone(),
        ]
        .concat();
        disk.write_all_at(&primary, 0)?;
        disk.sync_all()
    }

    /// The header for sector `own`.
    fn header_at(&self, own: u64, other: u64, entries: u64) -> Vec<u8> {
        let mut header = self.header.clone();
        set64(&mut header, header::OWN, own);
        set64(&mut header, header::OTHER, other);
        set64(&mut header, header::ENTRIES, entries);
        set32(&mut header, header::ENTRIES_CRC, crc(&self.entries));
        let crc = header_crc(&header);
        set32(&mut header, header::CRC, crc);
        header
    }

    /// The last sector before the backup of the table.
    fn last_usable(&self, sectors: u64) -> u64 {
        sectors.saturating_sub(self.entry_sectors() + 2)
    }

    fn entry_sectors(&self) -> u64 {
        self.entries.len().div_ceil(self.sector) as u64
    }

    fn padded_entries(&self) -> Vec<u8> {
        let mut entries = self.entries.clone();
        entries.resize(self.entry_sectors() as usize * self.sector, 0);
        entries
    }

    fn entry(&self, number: u32) -> Option<&[u8]> {
        self.entries
            .chunks(self.entry_length)
            .nth(number.checked_sub(1)? as usize)
    }

    fn entry_mut(&mut self, number: u32) -> Option<&mut [u8]> {
        self.entries
            .chunks_mut(self.entry_length)
            .nth(number.checked_sub(1)? as usize)
    }
}

/// The length of the entries of a sound header at sector `at`, in bytes.
fn check_header(header: &[u8], at: u64) -> io::Result<usize> {
    let length = get32(header, header::LENGTH) as usize;
    let fits = (header::LEAST..=header.len()).contains(&length);
    if !header.starts_with(b"EFI PART") || !fits || header_crc(header) != get32(header, header::CRC)
    {
        return Err(damaged("a damaged header"));
    }
    let count = get32(header, header::ENTRY_COUNT) as usize;
    let each = get32(header, header::ENTRY_LENGTH) as usize;
    let usual = get64(header, header::OWN) == at && each == entry::LEAST && count <= 1024;
    if usual {
        Ok(count * each)
    } else {
        Err(unusual())
    }
}

/// Makes `mbr` protect a disk of `sectors` sectors, if it is damaged (section 5.2.3).
fn protect(mbr: &mut [u8], sectors: u64) {
    const GPT: u8 = 0xee;
    if mbr[SIGNATURE..][..2] == [0x55, 0xaa] && mbr[PROTECTIVE + 4] == GPT {
        return;
    }
    mbr.fill(0);
    mbr[PROTECTIVE..][..8].copy_from_slice(&[0, 0, 2, 0, GPT, 0xff, 0xff, 0xff]);
    set32(mbr, PROTECTIVE + 8, 1);
    set32(mbr, PROTECTIVE_LENGTH, protective_length(sectors));
    mbr[SIGNATURE..][..2].copy_from_slice(&[0x55, 0xaa]);
}

/// The protective MBR of a disk of more than 2 TiB contains 2^32 - 1.
fn protective_length(sectors: u64) -> u32 {
    u32::try_from(sectors - 1).unwrap_or(u32::MAX)
}

fn disk_size(mut disk: &File) -> io::Result<u64> {
    disk.seek(SeekFrom::End(0))
}

fn unusual() -> io::Error {
    io::Error::other("the partition table has an unusual layout")
}

fn damaged(what: &str) -> io::Error {
    io::Error::other(format!("the partition table has {what}"))
}

/// The checksum of a header: over its own length, with zeros in the checksum's place.
fn header_crc(header: &[u8]) -> u32 {
    let length = get32(header, header::LENGTH) as usize;
    let mut copy = header[..length].to_vec();
    set32(&mut copy, header::CRC, 0);
    crc(&copy)
}

fn crc(bytes: &[u8]) -> u32 {
    Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(bytes)
}

fn get32(bytes: &[u8], at: usize) -> u32 {
    (0..4)
        .map(|byte| u32::from(bytes[at + byte]) << (8 * byte))
        .sum()
}

fn get64(bytes: &[u8], at: usize) -> u64 {
    u64::from(get32(bytes, at)) | u64::from(get32(bytes, at + 4)) << 32
}

fn set32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}

fn set64(bytes: &mut [u8], at: usize, value: u64) {
    bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
}

#[cfg(test)]
mod tests;
