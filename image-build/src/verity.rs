//! dm-verity's hash tree, and the kernel's command line that sets it up over the system partition.
//!
//! The format is the kernel's own (Documentation/admin-guide/device-mapper/verity.rst), version 1
//! without superblock: levels from the top down, each a row of SHA-256 hashes of the blocks below.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sha2::{Digest, Sha256};

use crate::digest;

/// Of data and hashes, in bytes: the page size, and the block size of our EROFS.
pub(crate) const BLOCK: usize = 4096;
const HASH: usize = 32;
const SECTOR: u64 = 512;

/// What the kernel must know to verify a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verity {
    /// Blocks of data; the hash tree starts after them.
    pub(crate) data_blocks: u64,
    pub(crate) root: [u8; HASH],
    pub(crate) salt: [u8; HASH],
}

impl Verity {
    /// Appends the hash tree of `image` to it. The salt is derived from the content: it makes the
    /// hashes of one image useless for another, and need not be secret.
    ///
    /// # Errors
    /// The file is not a whole number of blocks, or cannot be read or written.
    pub(crate) fn append(image: &Path) -> Result<Self> {
        let append = || {
            let salt = Sha256::digest(format!("tare {}", digest::hex_of_file(image)?)).into();
            let mut file = File::options().read(true).write(true).open(image)?;
            append_to(&mut file, salt)
        };
        append().with_context(|| format!("hash tree of {}", image.display()))
    }

    /// Words of the kernel's command line that set up the device `system` over the partition
    /// `partuuid` and mount it as the root (Documentation/admin-guide/device-mapper/dm-init.rst).
    pub(crate) fn cmdline(&self, partuuid: &str) -> String {
        let sectors = self.data_blocks * (BLOCK as u64 / SECTOR);
        let Self { data_blocks, .. } = self;
        let (root, salt) = (digest::to_hex(&self.root), digest::to_hex(&self.salt));
        format!(
            "root=/dev/dm-0 rootfstype=erofs ro dm-mod.waitfor=PARTUUID={partuuid} \
             dm-mod.create=\"system,,0,ro,0 {sectors} verity 1 PARTUUID={partuuid} \
             PARTUUID={partuuid} {BLOCK} {BLOCK} {data_blocks} {data_blocks} sha256 {root} {salt} 1 \
             panic_on_corruption\""
        )
    }
}

fn append_to(file: &mut File, salt: [u8; HASH]) -> Result<Verity> {
    let size = file.seek(SeekFrom::End(0))?;
    ensure!(
        size > BLOCK as u64 && size % BLOCK as u64 == 0,
        "{size} bytes are no whole number, two or more, of blocks of {BLOCK}"
    );
    let data_blocks = size / BLOCK as u64;
    file.rewind()?;
    let mut levels = vec![hashes(&mut BufReader::new(&*file), data_blocks, &salt)?];
    while let Some(below) = levels.last().filter(|level| level.len() > BLOCK) {
        let blocks = (below.len() / BLOCK) as u64;
        let above = hashes(&mut &below[..], blocks, &salt)?;
        levels.push(above);
    }
    file.seek(SeekFrom::End(0))?;
    for level in levels.iter().rev() {
        file.write_all(level)?;
    }
    let top = levels.last().map(Vec::as_slice).unwrap_or_default();
    Ok(Verity {
        data_blocks,
        root: hash(&salt, top),
        salt,
    })
}

/// The salted hashes of `blocks` blocks, padded to whole blocks.
fn hashes(data: &mut impl Read, blocks: u64, salt: &[u8]) -> Result<Vec<u8>> {
    let mut level = Vec::new();
    let mut block = [0; BLOCK];
    for _ in 0..blocks {
        data.read_exact(&mut block)?;
        level.extend(hash(salt, &block));
    }
    level.resize(level.len().next_multiple_of(BLOCK), 0);
    Ok(level)
}

fn hash(salt: &[u8], block: &[u8]) -> [u8; HASH] {
    Sha256::new()
        .chain_update(salt)
        .chain_update(block)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verity(blocks: u64) -> (Verity, Vec<u8>) {
        let name = format!("tare-verity-{blocks}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let data: Vec<u8> = (0..blocks)
            .flat_map(|n| [u8::try_from(n % 251).unwrap(); BLOCK])
            .collect();
        std::fs::write(&path, data).unwrap();
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        let verity = append_to(&mut file, [7; HASH]).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        (verity, bytes)
    }

    /// The root hashes are what `veritysetup format --no-superblock` of cryptsetup 2.6 prints.
    #[test]
    fn trees_are_those_of_veritysetup() {
        for (blocks, tree_blocks, root) in [
            (
                128,
                1,
                "b42c824ef787a446a7473b6f23f609c41b4810182f600c784a489481f2af4ab0",
            ),
            (
                129,
                3,
                "6a6639a88083454395c2e0f5715ca85ce7f674f633fa5cc56336f9c015a9ed73",
            ),
            (
                20_000,
                160,
                "d9346e66a7abef096d145b94dbdb59201bfb20020420beb59fd58fc4e4f53bdf",
            ),
        ] {
            let (verity, bytes) = verity(blocks);
            assert_eq!(bytes.len() / BLOCK, (blocks + tree_blocks) as usize);
            assert_eq!(digest::to_hex(&verity.root), root);
        }
    }

    #[test]
    fn the_command_line_names_data_hashes_and_root() {
        let verity = Verity {
            data_blocks: 10,
            root: [0xab; HASH],
            salt: [0xcd; HASH],
        };
        let want = format!(
            "root=/dev/dm-0 rootfstype=erofs ro dm-mod.waitfor=PARTUUID=P \
             dm-mod.create=\"system,,0,ro,0 80 verity 1 PARTUUID=P PARTUUID=P 4096 4096 10 10 \
             sha256 {} {} 1 panic_on_corruption\"",
            "ab".repeat(32),
            "cd".repeat(32)
        );
        assert_eq!(verity.cmdline("P"), want);
    }
}
