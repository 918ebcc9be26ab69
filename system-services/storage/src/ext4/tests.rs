use super::*;
use rustix::fs::{MemfdFlags, memfd_create};

/// A superblock as `mkfs.ext4` makes it: 64-bit, with checksums, 1000 blocks of 4 KiB.
fn superblock(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut bytes = vec![0; LENGTH];
    bytes[0x04..0x08].copy_from_slice(&1000u32.to_le_bytes());
    bytes[0x18] = 2;
    bytes[0x38..0x3a].copy_from_slice(&[0x53, 0xef]);
    bytes[0x3a] = 1;
    bytes[0x60] = 0x80;
    bytes[0x65] = 0x04;
    change(&mut bytes);
    let sum = checksum(&bytes);
    bytes[0x3fc..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

const CLEAN: Superblock = Superblock {
    clean: true,
    blocks: 1000,
    block_size: 4096,
};

#[test]
fn superblocks() {
    let unclean = Superblock {
        clean: false,
        ..CLEAN
    };
    let large = Superblock {
        blocks: (5 << 32) + 1000,
        ..CLEAN
    };
    let no_checksum = {
        let mut bytes = superblock(|bytes| bytes[0x65] = 0);
        bytes[0x3fc] ^= 1;
        bytes
    };
    let wrong_checksum = {
        let mut bytes = superblock(|_| {});
        bytes[0x3fc] ^= 1;
        bytes
    };
    for (bytes, want, why) in [
        (superblock(|_| {}), Some(CLEAN), "clean"),
        (
            superblock(|bytes| bytes[0x3a] = 0),
            Some(unclean),
            "not unmounted",
        ),
        (superblock(|bytes| bytes[0x3a] = 3), Some(unclean), "errors"),
        (
            superblock(|bytes| bytes[0x60] |= 4),
            Some(unclean),
            "journal not replayed",
        ),
        (
            superblock(|bytes| bytes[0x150] = 5),
            Some(large),
            "above 2^32 blocks",
        ),
        (no_checksum, Some(CLEAN), "without a checksum"),
        (wrong_checksum, None, "a wrong checksum"),
        (superblock(|bytes| bytes[0x38] = 0), None, "no magic"),
        (
            superblock(|bytes| bytes[0x18] = 9),
            None,
            "blocks too large",
        ),
        (vec![0; LENGTH], None, "zeros"),
    ] {
        assert_eq!(Superblock::parse(&bytes), want, "{why}");
    }
}

/// Bytes and where they are.
type Part<'a> = (u64, &'a [u8]);

/// A device of 256 MiB with `bytes` at each `offset`.
fn device(parts: &[Part]) -> (File, std::path::PathBuf) {
    use std::os::fd::AsRawFd;
    let file = File::from(memfd_create("device", MemfdFlags::CLOEXEC).unwrap());
    file.set_len(256 << 20).unwrap();
    for (offset, bytes) in parts {
        file.write_all_at(bytes, *offset).unwrap();
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
    (file, path)
}

#[test]
fn what_a_partition_holds() {
    let sound = superblock(|_| {});
    let broken = superblock(|bytes| bytes[0x18] = 9);
    let backup = Backup {
        block: 32768,
        block_size: 4096,
    };
    let backup_at = backup.block * backup.block_size;
    let cases: [(&[Part], Contents, &str); 7] = [
        (&[], Contents::Blank, "zeros"),
        (&[(OFFSET, &sound)], Contents::Ext4(CLEAN), "an ext4"),
        (&[(OFFSET, &broken)], Contents::Damaged(None), "no backup"),
        (
            &[(OFFSET, &broken), (backup_at, &sound)],
            Contents::Damaged(Some(backup)),
            "a backup",
        ),
        (
            &[(8192, b"descriptors"), (backup_at, &sound)],
            Contents::Damaged(Some(backup)),
            "a wiped superblock",
        ),
        (
            &[(backup_at, &sound)],
            Contents::Blank,
            "an image written over an older, larger one",
        ),
        (&[(0, b"LUKS")], Contents::Unknown, "something else"),
    ];
    for (parts, want, why) in cases {
        let (_file, path) = device(parts);
        assert_eq!(contents(&path).unwrap(), want, "{why}");
    }
}

#[test]
fn a_device_shorter_than_what_is_read_is_blank_if_it_is_zeros() {
    let (file, path) = device(&[]);
    file.set_len(4096).unwrap();
    assert_eq!(contents(&path).unwrap(), Contents::Blank);
}
