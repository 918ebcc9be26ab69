use super::*;

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
    let sum = crc32c(!0, &bytes[..0x3fc]);
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
        (no_checksum, None, "without a checksum"),
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
