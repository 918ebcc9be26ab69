//! The disk: a GPT with the EFI system partition, two system slots and the state partition, and a boot loader for machines
//! without UEFI.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::{GptConfig, partition_types};
use uuid::Uuid;

use crate::grub::Grub;
use crate::recipe;

const SECTOR: u64 = 512;
/// Partitions start and end at whole MiB, which tools expect and which suits flash memory.
const ALIGNMENT: u64 = 1 << 20;

/// Numbers of the partitions, in their order on the disk.
pub(crate) const ESP: u32 = 1;
pub(crate) const SYSTEM_A: u32 = 2;
const SYSTEM_B: u32 = 3;
const STATE: u32 = 4;
/// That of the boot loader for machines without UEFI has the last number, and the room between the partition table and the
/// first whole MiB.
const BIOS: u32 = 5;
/// Its sectors: 128 entries of partitions end before it.
pub(crate) const BIOS_FIRST: u64 = 34;
const BIOS_LAST: u64 = ALIGNMENT / SECTOR - 1;
/// An attribute of the state partition: not yet formatted. The service `storage` clears it
/// (`system-services/storage/src/gpt.rs`). It distinguishes a new partition from a used one even if the program that
/// wrote the image skipped its zeros.
const NOT_YET_FORMATTED: u64 = 1 << 48;

/// The partition table of an image.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    guid: Uuid,
    partitions: BTreeMap<u32, Partition>,
    /// Of the whole disk, in bytes.
    size: u64,
}

impl Layout {
    /// Partitions of the given sizes. All identifiers are derived from `content`, a hash over the image's inputs.
    pub(crate) fn new(sizes: &recipe::Disk, content: &[u8; 32]) -> Self {
        let esp = (ESP, "esp", partition_types::EFI, sizes.esp);
        // The type of a root file system, by which tools for the Discoverable Partitions Specification show what the
        // slots contain.
        let root = partition_types::LINUX_ROOT_X64;
        let slots = [(SYSTEM_A, "system-a"), (SYSTEM_B, "system-b")]
            .map(|(number, name)| (number, name, root.clone(), sizes.system));
        let state = (STATE, "state", partition_types::LINUX_FS, sizes.state);
        let mut partitions = BTreeMap::new();
        let mut start = ALIGNMENT;
        for (number, name, part_type_guid, size) in [esp].into_iter().chain(slots).chain([state]) {
            let size = size.0.next_multiple_of(ALIGNMENT);
            let partition = Partition {
                part_type_guid,
                part_guid: identifier(content, number),
                first_lba: start / SECTOR,
                last_lba: (start + size) / SECTOR - 1,
                flags: match number {
                    STATE => NOT_YET_FORMATTED,
                    _ => 0,
                },
                name: name.to_owned(),
            };
            partitions.insert(number, partition);
            start += size;
        }
        let bios = Partition {
            part_type_guid: partition_types::BIOS,
            part_guid: identifier(content, BIOS),
            first_lba: BIOS_FIRST,
            last_lba: BIOS_LAST,
            flags: 0,
            name: "bios".to_owned(),
        };
        partitions.insert(BIOS, bios);
        Self {
            guid: identifier(content, 0),
            partitions,
            // The table's backup is at the end.
            size: start + ALIGNMENT,
        }
    }

    /// The `PARTUUID` of a partition.
    pub(crate) fn partuuid(&self, number: u32) -> String {
        self.partitions[&number].part_guid.to_string()
    }

    /// Creates the sparse file `path` with the partition table.
    ///
    /// # Errors
    /// Names the file that cannot be written.
    pub(crate) fn create(&self, path: &Path) -> Result<File> {
        // A machine that runs from the previous image keeps the old file.
        let _ = fs::remove_file(path);
        let create = || {
            let mut file = File::options()
                .read(true)
                .write(true)
                .create(true)
                .truncate(true)
                .open(path)?;
            file.set_len(self.size)?;
            self.write_table(&mut file)?;
            anyhow::Ok(file)
        };
        create().with_context(|| format!("partition {}", path.display()))
    }

    fn write_table(&self, file: &mut File) -> Result<()> {
        let sectors = u32::try_from(self.size / SECTOR - 1).unwrap_or(u32::MAX);
        ProtectiveMBR::with_lb_size(sectors).overwrite_lba0(file)?;
        let config = GptConfig::new()
            .writable(true)
            .logical_block_size(LogicalBlockSize::Lb512);
        let mut disk = config.create_from_device(file, Some(self.guid))?;
        disk.update_partitions(self.partitions.clone())?;
        disk.write()?;
        Ok(())
    }

    /// Writes the boot loader for machines without UEFI. The partition of the protective MBR is not marked as active: firmware
    /// made from EDK2 takes the table for a broken one then (`PartitionInstallGptChildHandles`).
    ///
    /// # Errors
    /// It does not fit, or cannot be written.
    pub(crate) fn write_grub(&self, file: &File, grub: &Grub) -> Result<()> {
        file.write_all_at(&grub.boot, 0).context("write the MBR")?;
        let mut partition = self.slice(file, BIOS);
        let core = partition.write_all(&grub.core);
        core.context("write GRUB to its partition")
    }

    /// The part of the disk `file` that is partition `number`.
    pub(crate) fn slice<'a>(&self, file: &'a File, number: u32) -> Slice<'a> {
        let partition = &self.partitions[&number];
        Slice {
            file,
            start: partition.first_lba * SECTOR,
            size: (partition.last_lba + 1 - partition.first_lba) * SECTOR,
            position: 0,
        }
    }

    /// Copies the file `content` into partition `number`.
    ///
    /// # Errors
    /// The content is larger than the partition, or cannot be copied.
    pub(crate) fn fill(&self, file: &File, number: u32, content: &Path) -> Result<()> {
        let mut partition = self.slice(file, number);
        let mut content = File::open(content)?;
        let (have, need) = (partition.size, content.metadata()?.len());
        let name = &self.partitions[&number].name;
        ensure!(
            need <= have,
            "partition {name} has {} MiB, and {} MiB are needed: raise its size, in [disk] of image-build/tare.toml",
            have >> 20,
            need.div_ceil(1 << 20)
        );
        io::copy(&mut content, &mut partition)
            .map(|_| ())
            .with_context(|| format!("fill partition {name}"))
    }
}

/// A UUID of version 8 (RFC 9562: a format of our own) for partition `number`.
fn identifier(content: &[u8; 32], number: u32) -> Uuid {
    let seed = [&content[..], &number.to_le_bytes()].concat();
    let hash = crate::digest::bytes(&seed);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// A partition as a file of its own.
#[derive(Debug)]
pub(crate) struct Slice<'a> {
    file: &'a File,
    start: u64,
    size: u64,
    position: u64,
}

impl Slice<'_> {
    /// How much of `wanted` is left in the partition.
    fn room(&self, wanted: usize) -> usize {
        let left = self.size.saturating_sub(self.position);
        wanted.min(usize::try_from(left).unwrap_or(usize::MAX))
    }
}

impl Read for Slice<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let at = self.start + self.position;
        let n = self.file.read_at(&mut buffer[..room], at)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl Write for Slice<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let room = self.room(buffer.len());
        let at = self.start + self.position;
        let n = self.file.write_at(&buffer[..room], at)?;
        self.position += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Slice<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(n) => Some(n),
            SeekFrom::End(n) => self.size.checked_add_signed(n),
            SeekFrom::Current(n) => self.position.checked_add_signed(n),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tare_config::Bytes;

    fn layout() -> Layout {
        let sizes = recipe::Disk {
            esp: Bytes::mib(160),
            system: Bytes::mib(512),
            state: Bytes::mib(64),
        };
        Layout::new(&sizes, &[7; 32])
    }

    #[test]
    fn the_partition_table() {
        let layout = layout();
        let lines = layout.partitions.iter().map(|(number, partition)| {
            let Partition {
                first_lba,
                last_lba,
                part_type_guid,
                part_guid,
                name,
                flags,
            } = partition;
            let kind = part_type_guid.guid;
            format!(
                "{number} {first_lba:>7} {last_lba:>7} {name:<8} {kind} {part_guid} {flags:#x}\n"
            )
        });
        let table: String = lines.collect();
        assert_eq!(table, include_str!("disk/golden.txt"));
        assert_eq!(layout.size, (1 + 160 + 512 + 512 + 64 + 1) << 20);
    }

    #[test]
    fn content_that_does_not_fit_says_what_to_change() {
        let path = std::env::temp_dir().join(format!("tare-fill-{}", std::process::id()));
        let content = path.with_extension("content");
        let layout = layout();
        let file = layout.create(&path).unwrap();
        let large = File::create(&content).unwrap();
        large.set_len((512 << 20) + 1).unwrap();
        let error = layout.fill(&file, SYSTEM_A, &content).unwrap_err();
        assert_eq!(
            error.to_string(),
            "partition system-a has 512 MiB, and 513 MiB are needed: raise its size, in [disk] of image-build/tare.toml"
        );
        for made in [path, content] {
            fs::remove_file(made).unwrap();
        }
    }

    #[test]
    fn a_partition_ends_where_it_ends() {
        let path = std::env::temp_dir().join(format!("tare-disk-{}", std::process::id()));
        let layout = layout();
        let file = layout.create(&path).unwrap();
        let mut esp = layout.slice(&file, ESP);
        esp.seek(SeekFrom::End(-1)).unwrap();
        assert_eq!(esp.write(b"ab").unwrap(), 1);
        assert_eq!(esp.write(b"b").unwrap(), 0);
        let mut byte = [0];
        file.read_at(&mut byte, (161 << 20) - 1).unwrap();
        assert_eq!(&byte, b"a");
        std::fs::remove_file(path).unwrap();
    }
}
