//! The EFI system partition: FAT32, written without mounting it.

use std::io::{Read, Seek, Write};

use anyhow::{Context, Result};
use fatfs::{
    Date, DateTime, Dir, FatType, FileSystem, FormatVolumeOptions, FsOptions, Time, TimeProvider,
};

/// FAT's first day: everything in the partition has this date, so that equal content gives equal bytes.
const DAY: Date = Date {
    year: 1980,
    month: 1,
    day: 1,
};

const MIDNIGHT: Time = Time {
    hour: 0,
    min: 0,
    sec: 0,
    millis: 0,
};

/// Large enough for firmware to read the kernel in few steps, small enough that a partition of 160 MiB has the 65,525
/// clusters by which firmware recognises FAT32.
const CLUSTER: u32 = 2048;

#[derive(Debug)]
struct Fixed;

impl TimeProvider for Fixed {
    fn get_current_date(&self) -> Date {
        DAY
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime {
            date: DAY,
            time: MIDNIGHT,
        }
    }
}

/// Formats `partition` (all zeros) and writes `files` by path into it.
///
/// # Errors
/// The files do not fit, or the partition cannot be written.
pub(crate) fn write<P: Read + Write + Seek>(
    mut partition: P,
    volume_id: u32,
    files: &[(String, Vec<u8>)],
) -> Result<()> {
    let format = FormatVolumeOptions::new()
        .fat_type(FatType::Fat32)
        .bytes_per_cluster(CLUSTER)
        .volume_id(volume_id)
        .volume_label(*b"ESP        ");
    fatfs::format_volume(&mut partition, format).context("format the EFI system partition")?;
    let options = FsOptions::new().time_provider(&Fixed);
    let volume = FileSystem::new(&mut partition, options)?;
    for (path, content) in files {
        write_file(volume.root_dir(), path, content)
            .with_context(|| format!("write {path} to the EFI system partition"))?;
    }
    volume.unmount().context("write the EFI system partition")
}

fn write_file<P: Read + Write + Seek>(root: Dir<'_, P>, path: &str, content: &[u8]) -> Result<()> {
    let mut folder = root;
    let mut rest = path;
    while let Some((name, below)) = rest.split_once('/') {
        folder = folder.create_dir(name)?;
        rest = below;
    }
    let mut file = folder.create_file(rest)?;
    file.write_all(content)?;
    file.flush()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn esp() -> Vec<u8> {
        let mut partition = vec![0; 160 << 20];
        let files = [("EFI/Linux/a.efi".to_owned(), vec![7; 5000])];
        write(Cursor::new(&mut partition), 0x1234_5678, &files).unwrap();
        partition
    }

    #[test]
    fn files_are_there_and_bytes_are_the_same_each_time() {
        let mut partition = esp();
        assert!(partition == esp());
        let volume = FileSystem::new(Cursor::new(&mut partition), FsOptions::new()).unwrap();
        assert_eq!(volume.fat_type(), FatType::Fat32);
        assert_eq!(volume.volume_id(), 0x1234_5678);
        let mut content = Vec::new();
        let mut file = volume.root_dir().open_file("EFI/Linux/a.efi").unwrap();
        file.read_to_end(&mut content).unwrap();
        assert_eq!(content, vec![7; 5000]);
    }
}
