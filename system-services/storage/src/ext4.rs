//! What is on the partition: as much of ext4's superblock as decides what to do
//! (kernel documentation, `filesystems/ext4/globals.rst`).

use crc::{CRC_32_ISCSI, Crc};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where the superblock lies, in bytes from the start, and how long it is.
const OFFSET: u64 = 1024;
const LENGTH: usize = 1024;

/// How much from the start must be zeros for a partition to count as blank. An image file is
/// written with zeros there; of an ext4 with its superblock wiped, the group descriptors remain.
const BLANK: usize = 1 << 20;

/// Where `mkfs.ext4` puts the first backup superblock for each size of block.
const BACKUPS: [Backup; 3] = [
    Backup {
        block: 32768,
        block_size: 4096,
    },
    Backup {
        block: 16384,
        block_size: 2048,
    },
    Backup {
        block: 8193,
        block_size: 1024,
    },
];

/// What a partition holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing.
    Blank,
    /// An ext4 with a sound superblock.
    Ext4(Superblock),
    /// What was an ext4: `e2fsck` finds its own way, or takes this backup superblock.
    Damaged(Option<Backup>),
    /// Something else.
    Unknown,
}

/// What matters of a sound superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Unmounted in order, no error recorded.
    pub(crate) clean: bool,
    pub(crate) blocks: u64,
    /// Bytes.
    pub(crate) block_size: u64,
}

/// A backup superblock, as `e2fsck -b BLOCK -B SIZE` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backup {
    pub(crate) block: u64,
    pub(crate) block_size: u64,
}

/// Looks at `device`.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn contents(device: &Path) -> io::Result<Contents> {
    let file = File::open(device)?;
    let bytes = read(&file, OFFSET, LENGTH)?;
    if let Some(superblock) = Superblock::parse(&bytes) {
        return Ok(Contents::Ext4(superblock));
    }
    if read(&file, 0, BLANK)?.iter().all(|byte| *byte == 0) {
        return Ok(Contents::Blank);
    }
    Ok(remains(&file, has_magic(&bytes)))
}

/// What is left of an ext4 whose superblock is not sound.
fn remains(file: &File, has_magic: bool) -> Contents {
    let sound = |backup: &&Backup| {
        let bytes = read(file, backup.block * backup.block_size, LENGTH);
        bytes.is_ok_and(|bytes| Superblock::parse(&bytes).is_some())
    };
    match BACKUPS.iter().find(sound) {
        Some(backup) => Contents::Damaged(Some(*backup)),
        None if has_magic => Contents::Damaged(None),
        None => Contents::Unknown,
    }
}

/// The superblock of `device`, if it is sound.
///
/// # Errors
/// When the device cannot be read.
pub(crate) fn superblock(device: &Path) -> io::Result<Option<Superblock>> {
    let bytes = read(&File::open(device)?, OFFSET, LENGTH)?;
    Ok(Superblock::parse(&bytes))
}

/// `length` bytes from `offset`; zeros past the end.
fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut done = 0;
    while done < length {
        match file.read_at(&mut bytes[done..], offset + done as u64)? {
            0 => break,
            count => done += count,
        }
    }
    Ok(bytes)
}

fn has_magic(bytes: &[u8]) -> bool {
    bytes[0x38..0x3a] == [0x53, 0xef]
}

impl Superblock {
    /// `None` if these 1024 bytes are no superblock, or one whose checksum is wrong.
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let u32_at = |at: usize| u32::from(u16_at(at)) | u32::from(u16_at(at + 2)) << 16;
        const VALID: u16 = 1;
        const RECOVER: u32 = 0x4;
        const IS_64BIT: u32 = 0x80;
        const METADATA_CHECKSUM: u32 = 0x400;
        let (state, incompatible) = (u16_at(0x3a), u32_at(0x60));
        let checked = u32_at(0x64) & METADATA_CHECKSUM == 0 || checksum(bytes) == u32_at(0x3fc);
        let high = if incompatible & IS_64BIT == 0 {
            0
        } else {
            u32_at(0x150)
        };
        let shift = u32_at(0x18);
        (has_magic(bytes) && checked && shift <= 6).then(|| Self {
            clean: state == VALID && incompatible & RECOVER == 0,
            blocks: u64::from(high) << 32 | u64::from(u32_at(0x04)),
            block_size: 1024 << shift,
        })
    }
}

/// CRC-32C of all before the checksum, without the usual last inversion.
fn checksum(bytes: &[u8]) -> u32 {
    !Crc::<u32>::new(&CRC_32_ISCSI).checksum(&bytes[..0x3fc])
}

#[cfg(test)]
mod tests;
