//! Examines an ext4: its superblock and, if that is damaged, whether the rest is there (kernel documentation,
//! `filesystems/ext4/globals.rst`).

use crc::{CRC_32_ISCSI, Crc};
use std::fs::File;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// The label of the file system that this service makes.
pub(crate) const LABEL: &str = "state";

/// Where the superblock lies, in bytes from the start, and how long it is.
const OFFSET: u64 = 1024;
const LENGTH: usize = 1024;

/// Where `mkfs.ext4` puts the first backup superblocks for each size of block.
const BACKUPS: [Backup; 4] = [
    Backup {
        block: 32768,
        block_size: 4096,
    },
    Backup {
        block: 98304,
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

/// The relevant fields of a sound superblock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Cleanly unmounted, no error recorded.
    pub(crate) clean: bool,
    pub(crate) blocks: u64,
    /// Bytes.
    pub(crate) block_size: u64,
}

/// A backup superblock, as `e2fsck -b BLOCK -B SIZE` takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Backup {
    pub(crate) block: u64,
    /// Bytes.
    pub(crate) block_size: u64,
}

/// The superblock of `device`, if it is sound.
///
/// # Errors
/// When the device cannot be read.
pub(crate) fn superblock(device: &File) -> io::Result<Option<Superblock>> {
    read(device, OFFSET, LENGTH).map(|bytes| Superblock::parse(&bytes))
}

/// The backup superblock from which a file system of ours can be repaired if its own superblock is damaged.
///
/// A backup alone proves nothing: it also survives underneath anything that was later written to the partition. So
/// the descriptors after the superblock must be sound too, or lie within the `zeros` bytes of zeros at the start,
/// which are not data. The root directory's inode must be sound as well.
pub(crate) fn remains(file: &File, zeros: u64) -> Option<Backup> {
    let size = size(file).ok()?;
    BACKUPS.into_iter().find(|backup| {
        let at = backup.block * backup.block_size;
        let bytes = read(file, at, LENGTH).unwrap_or_default();
        let is_ours = Superblock::parse(&bytes).is_some_and(|superblock| {
            has_our_label(&bytes)
                && superblock.block_size == backup.block_size
                && superblock.blocks.saturating_mul(superblock.block_size) <= size
        });
        is_ours && Groups::of(&bytes).is_some_and(|groups| groups.are_there(file, at, zeros))
    })
}

/// The size in bytes, also of a block device.
pub(crate) fn size(mut file: &File) -> io::Result<u64> {
    file.seek(SeekFrom::End(0))
}

/// `length` bytes from `offset`; zeros past the end.
pub(crate) fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
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

impl Superblock {
    /// `None` if these 1024 bytes are not a superblock with the right checksum. Ours always has one.
    fn parse(bytes: &[u8]) -> Option<Self> {
        const VALID: u16 = 1;
        const RECOVER: u32 = 0x4;
        const METADATA_CHECKSUM: u32 = 0x400;
        let is_superblock = get16(bytes, 0x38) == 0xef53;
        let checked = get32(bytes, 0x64) & METADATA_CHECKSUM != 0
            && crc32c(!0, &bytes[..0x3fc]) == get32(bytes, 0x3fc);
        let high = match has_64bit(bytes) {
            true => get32(bytes, 0x150),
            false => 0,
        };
        let shift = get32(bytes, 0x18);
        (is_superblock && checked && shift <= 6).then(|| Self {
            clean: get16(bytes, 0x3a) == VALID && get32(bytes, 0x60) & RECOVER == 0,
            blocks: u64::from(high) << 32 | u64::from(get32(bytes, 0x04)),
            block_size: 1024 << shift,
        })
    }
}

fn has_64bit(superblock: &[u8]) -> bool {
    get32(superblock, 0x60) & 0x80 != 0
}

fn has_our_label(superblock: &[u8]) -> bool {
    let label = &superblock[0x78..0x88];
    label.starts_with(LABEL.as_bytes()) && label[LABEL.len()] == 0
}

/// The block groups that a superblock describes.
#[derive(Debug, Clone, Copy)]
struct Groups {
    /// The initial value of every checksum.
    seed: u32,
    block_size: u64,
    /// The block after this one holds the descriptors.
    first_block: u64,
    /// Of a descriptor and of an inode, in bytes.
    descriptor: usize,
    inode: usize,
}

/// The root directory's inode, counted from 1.
const ROOT: u32 = 2;

impl Groups {
    /// `None` for sizes that no ext4 has.
    fn of(superblock: &[u8]) -> Option<Self> {
        const SEED_IS_KEPT: u32 = 0x2000;
        let seed = match get32(superblock, 0x60) & SEED_IS_KEPT {
            0 => crc32c(!0, &superblock[0x68..0x78]),
            _ => get32(superblock, 0x270),
        };
        let descriptor = match has_64bit(superblock) {
            true => usize::from(get16(superblock, 0xfe)),
            false => 32,
        };
        let inode = usize::from(get16(superblock, 0x58));
        let usual = (32..=1024).contains(&descriptor) && (128..=4096).contains(&inode);
        usual.then(|| Self {
            seed,
            block_size: 1024 << get32(superblock, 0x18),
            first_block: u64::from(get32(superblock, 0x14)),
            descriptor,
            inode,
        })
    }

    /// Whether the first group is on `file`, or was before `zeros` bytes of zeros overwrote it. The backup superblock
    /// is at `backup`, in bytes.
    fn are_there(&self, file: &File, backup: u64, zeros: u64) -> bool {
        let own = (self.first_block + 1) * self.block_size;
        let copy = backup + self.block_size;
        let table = self.inode_table(file, own).or_else(|| {
            let is_blank = own + self.block_size <= zeros;
            self.inode_table(file, copy).filter(|_| is_blank)
        });
        table.is_some_and(|table| self.has_root(file, table))
    }

    /// Where the first group's inodes are, in bytes, according to the descriptor at `at` if that is sound.
    fn inode_table(&self, file: &File, at: u64) -> Option<u64> {
        const CHECKSUM: usize = 0x1e;
        let mut bytes = read(file, at, self.descriptor).ok()?;
        let claimed = get16(&bytes, CHECKSUM);
        bytes[CHECKSUM..][..2].fill(0);
        let group = 0u32.to_le_bytes();
        let sum = crc32c(crc32c(self.seed, &group), &bytes);
        let high = match self.descriptor >= 64 {
            true => get32(&bytes, 0x28),
            false => 0,
        };
        let block = u64::from(high) << 32 | u64::from(get32(&bytes, 0x08));
        (claimed == sum as u16).then_some(block.checked_mul(self.block_size)?)
    }

    fn has_root(&self, file: &File, table: u64) -> bool {
        const CHECKSUM: usize = 0x7c;
        const CHECKSUM_HIGH: usize = 0x82;
        const DIRECTORY: u16 = 0x4000;
        let at = table.saturating_add(u64::from(ROOT - 1) * self.inode as u64);
        let mut bytes = read(file, at, self.inode).unwrap_or_default();
        if bytes.len() < 128 {
            return false;
        }
        let has_high = self.inode > 128;
        let high = match has_high {
            true => get16(&bytes, CHECKSUM_HIGH),
            false => 0,
        };
        let claimed = u32::from(high) << 16 | u32::from(get16(&bytes, CHECKSUM));
        bytes[CHECKSUM..][..2].fill(0);
        if has_high {
            bytes[CHECKSUM_HIGH..][..2].fill(0);
        }
        let generation = get32(&bytes, 0x64).to_le_bytes();
        let seed = crc32c(crc32c(self.seed, &ROOT.to_le_bytes()), &generation);
        let sum = crc32c(seed, &bytes);
        let mask = if has_high { u32::MAX } else { 0xffff };
        get16(&bytes, 0) & 0xf000 == DIRECTORY && claimed == sum & mask
    }
}

/// CRC-32C that continues from `seed`, without the usual final inversion.
fn crc32c(seed: u32, bytes: &[u8]) -> u32 {
    static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
    let mut digest = CRC.digest_with_initial(seed.reverse_bits());
    digest.update(bytes);
    !digest.finalize()
}

fn get16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn get32(bytes: &[u8], at: usize) -> u32 {
    u32::from(get16(bytes, at)) | u32::from(get16(bytes, at + 2)) << 16
}

#[cfg(test)]
mod tests;
