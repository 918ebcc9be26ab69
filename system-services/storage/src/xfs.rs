//! Grows an XFS.

use crate::ext4::read;
use rustix::fs::fstatfs;
use rustix::ioctl::{Setter, ioctl, opcode};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;

/// `struct xfs_growfs_data` (`fs/xfs/libxfs/xfs_fs.h`).
#[repr(C)]
struct Growth {
    blocks: u64,
    /// Percent of the space that inodes may take; stays as it is.
    inodes: u32,
}

/// The relevant fields of a superblock (`struct xfs_dsb`).
#[derive(Debug, PartialEq, Eq)]
struct Superblock {
    blocks: u64,
    /// Bytes.
    block_size: u64,
    inodes: u32,
}

impl Superblock {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize, length: usize| {
            let bytes = bytes.get(at..at + length)?.iter();
            Some(bytes.fold(0, |number, byte| number << 8 | u64::from(*byte)))
        };
        let block_size = number(4, 4)?;
        let is_one = bytes.starts_with(b"XFSB") && (512..=65536).contains(&block_size);
        is_one.then_some(Self {
            blocks: number(8, 8)?,
            block_size,
            inodes: number(127, 1)? as u32,
        })
    }

    /// The blocks that fit into `length` bytes, if at least `worth` bytes are unused.
    fn grown(&self, length: u64, worth: u64) -> Option<u64> {
        let used = self.blocks.checked_mul(self.block_size)?;
        (used.checked_add(worth)? <= length).then_some(length / self.block_size)
    }
}

/// Grows the XFS on `device`, which is mounted with `root`, to `length` bytes, if that adds at least `worth`. Returns
/// whether it has grown: what is read of a mounted XFS may be old, and the kernel does nothing if it has the size already.
///
/// # Errors
/// When it cannot be read or grown.
pub(crate) fn grow(device: &File, root: impl AsFd, length: u64, worth: u64) -> io::Result<bool> {
    let found = Superblock::parse(&read(device, 0, 512)?);
    let grown = found.and_then(|found| Some((found.grown(length, worth)?, found.inodes)));
    let Some((blocks, inodes)) = grown else {
        return Ok(false);
    };
    let before = fstatfs(&root)?.f_blocks;
    const GROW: rustix::ioctl::Opcode = opcode::write::<Growth>(b'X', 110);
    // SAFETY: the opcode is XFS_IOC_FSGROWFSDATA, whose argument is a `struct xfs_growfs_data`.
    let request = unsafe { Setter::<GROW, Growth>::new(Growth { blocks, inodes }) };
    // SAFETY: as above; `root` is a directory of an XFS.
    unsafe { ioctl(&root, request)? };
    Ok(fstatfs(&root)?.f_blocks > before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_tells_how_far_it_can_grow() {
        let mut bytes = [0; 512];
        bytes[..4].copy_from_slice(b"XFSB");
        bytes[4..8].copy_from_slice(&4096_u32.to_be_bytes());
        bytes[8..16].copy_from_slice(&1000_u64.to_be_bytes());
        bytes[127] = 25;
        let found = Superblock::parse(&bytes).unwrap();
        let want = Superblock {
            blocks: 1000,
            block_size: 4096,
            inodes: 25,
        };
        assert_eq!(found, want);
        assert_eq!(found.grown(4096 * 1000, 1), None);
        assert_eq!(found.grown(4096 * 1009, 4096 * 10), None);
        assert_eq!(found.grown(4096 * 1010 + 1, 4096 * 10), Some(1010));
        bytes[0] = b'Y';
        assert_eq!(Superblock::parse(&bytes), None);
        assert_eq!(std::mem::size_of::<Growth>(), 16);
    }
}
