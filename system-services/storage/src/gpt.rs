//! The GUID partition table, as far as making one partition larger needs it (UEFI
//! specification, section 5.3).
//!
//! The crate `gpt` writes entry by entry without an order. Here the backup is on disk in full
//! before the primary is touched, and the primary is one write: whenever the power fails, one of
//! the two is whole.

use crc::{CRC_32_ISO_HDLC, Crc};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Set while a partition is being formatted; bits 48 and up are the partition type's own.
const FORMATTING: u64 = 1 << 48;

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
    /// The least length of a header.
    pub(super) const LEAST: usize = 92;
}

/// Fields of an entry, in bytes from its start.
mod entry {
    pub(super) const FIRST: usize = 32;
    pub(super) const LAST: usize = 40;
    pub(super) const ATTRIBUTES: usize = 48;
    /// The least length of an entry.
    pub(super) const LEAST: usize = 128;
}

/// The protective MBR's one partition, in bytes from the start of the disk: its length in sectors.
const PROTECTIVE_LENGTH: usize = 446 + 12;

/// A table that was read from a disk and found sound. Positions are in logical sectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    sector: usize,
    /// The protective MBR and the header, a sector each.
    mbr: Vec<u8>,
    header: Vec<u8>,
    entries: Vec<u8>,
    entry_length: usize,
}

/// Where a partition lies, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: u64,
    pub(crate) last: u64,
}

impl Table {
    /// The primary table of `disk`, whose sectors are `sector` bytes.
    ///
    /// # Errors
    /// When the disk cannot be read, or the table is damaged or of an unusual layout.
    pub(crate) fn read(disk: &File, sector: u64) -> io::Result<Self> {
        let sector = usize::try_from(sector).map_err(io::Error::other)?;
        let mut start = vec![0; 2 * sector];
        disk.read_exact_at(&mut start, 0)?;
        let header = start.split_off(sector);
        let length = check_header(&header)?;
        let mut entries = vec![0; length];
        disk.read_exact_at(&mut entries, 2 * sector as u64)?;
        if crc(&entries) != get32(&header, header::ENTRIES_CRC) {
            return Err(damaged("damaged entries"));
        }
        Ok(Self {
            sector,
            mbr: start,
            entry_length: get32(&header, header::ENTRY_LENGTH) as usize,
            header,
            entries,
        })
    }

    /// Where partition `number`, counted from 1, lies.
    pub(crate) fn extent(&self, number: u32) -> Option<Extent> {
        let entry = self.entry(number)?;
        Some(Extent {
            first: get64(entry, entry::FIRST),
            last: get64(entry, entry::LAST),
        })
    }

    /// True while partition `number` is marked as being formatted.
    pub(crate) fn is_formatting(&self, number: u32) -> bool {
        let attributes = self
            .entry(number)
            .map(|entry| get64(entry, entry::ATTRIBUTES));
        attributes.is_some_and(|attributes| attributes & FORMATTING != 0)
    }

    /// Marks partition `number` as being formatted, or as not.
    pub(crate) fn set_formatting(&mut self, number: u32, formatting: bool) {
        let Some(entry) = self.entry_mut(number) else {
            return;
        };
        let others = get64(entry, entry::ATTRIBUTES) & !FORMATTING;
        let mark = if formatting { FORMATTING } else { 0 };
        set64(entry, entry::ATTRIBUTES, others | mark);
    }

    /// The last sector that partition `number` could reach on a disk of `sectors` sectors; `None`
    /// if another partition is in the way. The end is on a whole MiB.
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

    /// Ends partition `number` at sector `last`, and the table with a disk of `sectors` sectors.
    pub(crate) fn set_last(&mut self, number: u32, last: u64, sectors: u64) {
        let last_usable = self.last_usable(sectors);
        if let Some(entry) = self.entry_mut(number) {
            set64(entry, entry::LAST, last);
        }
        set64(&mut self.header, header::LAST_USABLE, last_usable);
        set64(&mut self.header, header::OTHER, sectors - 1);
        // A disk of more than 2 TiB says 2^32 - 1 here.
        let length = u32::try_from(sectors - 1).unwrap_or(u32::MAX);
        self.mbr[PROTECTIVE_LENGTH..][..4].copy_from_slice(&length.to_le_bytes());
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

    /// The header as it is at sector `own`.
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

/// The length of the entries of a sound primary header, in bytes.
fn check_header(header: &[u8]) -> io::Result<usize> {
    let length = get32(header, header::LENGTH) as usize;
    let fits = (header::LEAST..=header.len()).contains(&length);
    if !header.starts_with(b"EFI PART") || !fits || header_crc(header) != get32(header, header::CRC)
    {
        return Err(damaged("a damaged header"));
    }
    let count = get32(header, header::ENTRY_COUNT) as usize;
    let each = get32(header, header::ENTRY_LENGTH) as usize;
    let usual = get64(header, header::ENTRIES) == 2 && each == entry::LEAST && count <= 1024;
    match usual {
        true => Ok(count * each),
        false => Err(io::Error::other(
            "the partition table has an unusual layout",
        )),
    }
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
