//! Growing the partition to the end of its disk, and the file system to the end of its partition.

use crate::disk::Partition;
use crate::ext4::{self, Superblock};
use crate::gpt::Table;
use crate::say::say;
use crate::xfs;
use rustix::fs::{Mode, OFlags, openat};
use rustix::ioctl::{Setter, ioctl, opcode};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use tare_config::machine::FileSystem;

/// Less than this, in bytes, is not worth the writes.
const WORTH: u64 = 8 << 20;

/// Whether `partition` is marked as not yet formatted.
///
/// # Errors
/// When the table cannot be read.
pub(crate) fn is_marked(partition: &Partition) -> io::Result<bool> {
    Ok(read(partition)?.is_marked(partition.number))
}

/// Repairs the partition table from whichever of its two copies is sound.
///
/// # Errors
/// When neither is, or the disk cannot be read or written.
pub(crate) fn repair(partition: &Partition) -> io::Result<()> {
    let table = read(partition)?;
    if let Some(damaged) = table.damaged_copy(&File::open(&partition.disk)?)? {
        table.write(&writable(&partition.disk)?)?;
        say(&format!(
            "the partition table's {damaged} was damaged; repaired it from the other copy"
        ));
    }
    Ok(())
}

/// Grows `partition` to the end of its disk, and marks it as not yet formatted if it is about to be formatted
/// (`formats`).
///
/// # Errors
/// When the table cannot be read or written, or the kernel does not accept the new length.
pub(crate) fn partition(partition: &Partition, formats: bool) -> io::Result<()> {
    let mut table = read(partition)?;
    let grown = grow(&mut table, partition);
    let marks = formats && !table.is_marked(partition.number);
    if marks {
        table.set_marked(partition.number, true);
    }
    if marks || grown.is_some() {
        table.write(&writable(&partition.disk)?)?;
    }
    match grown {
        Some(length) => partition.set_length(File::open(&partition.disk)?, length),
        None => Ok(()),
    }
}

/// Removes the mark of `partition`.
///
/// # Errors
/// When the table cannot be read or written.
pub(crate) fn unmark(partition: &Partition) -> io::Result<()> {
    let mut table = read(partition)?;
    table.set_marked(partition.number, false);
    table.write(&writable(&partition.disk)?)
}

fn read(partition: &Partition) -> io::Result<Table> {
    let disk = File::open(&partition.disk)?;
    Table::read(&disk, partition.sector, partition.disk_size)
}

/// Grows the partition in `table`. Returns its new length in bytes, if growing it is worth it.
fn grow(table: &mut Table, partition: &Partition) -> Option<u64> {
    let sectors = partition.disk_size / partition.sector;
    let own = table.extent(partition.number)?;
    let last = table.room(partition.number, sectors)?;
    if (last - own.last) * partition.sector < WORTH {
        return None;
    }
    table.set_last(partition.number, last, sectors);
    Some((last + 1 - own.first) * partition.sector)
}

/// Grows the ext4 on `device` to the end of the partition, if that is worth it.
///
/// # Errors
/// When it cannot be mounted or grown.
pub(crate) fn file_system(device: &Path) -> io::Result<()> {
    let file = File::open(device)?;
    let length = ext4::size(&file)?;
    match ext4::superblock(&file)? {
        Some(found) if is_short(found, length) => resize(mount(device)?, length / found.block_size),
        _ => Ok(()),
    }
}

/// Grows the file system on `device`, which is mounted with `root`, to the end of the device, if that is worth it.
/// Returns whether it was. An ext4 without checksums is left as it is.
///
/// # Errors
/// When it cannot be read or grown.
pub(crate) fn mounted(device: &Path, root: impl AsFd, kind: FileSystem) -> io::Result<bool> {
    let file = File::open(device)?;
    let length = ext4::size(&file)?;
    match kind {
        FileSystem::Ext4 => match ext4::superblock(&file)? {
            Some(found) if is_short(found, length) => {
                resize(root, length / found.block_size).map(|()| true)
            }
            _ => Ok(false),
        },
        FileSystem::Xfs => xfs::grow(&file, root, length, WORTH),
    }
}

fn is_short(found: Superblock, length: u64) -> bool {
    found
        .blocks
        .saturating_mul(found.block_size)
        .saturating_add(WORTH)
        <= length
}

/// Resizes the ext4 with the directory `root` while it is mounted: the kernel journals each step, whereas `resize2fs` on
/// an unmounted one must not be interrupted.
fn resize(root: impl AsFd, blocks: u64) -> io::Result<()> {
    const RESIZE: rustix::ioctl::Opcode = opcode::write::<u64>(b'f', 16);
    // SAFETY: the opcode is EXT4_IOC_RESIZE_FS, whose argument is a count of blocks, a `u64`.
    let request = unsafe { Setter::<RESIZE, u64>::new(blocks) };
    // SAFETY: as above; `root` is a directory of an ext4.
    unsafe { ioctl(root, request)? };
    Ok(())
}

/// The root of the ext4 on `device`, mounted at no path; unmounted when it is closed.
fn mount(device: &Path) -> io::Result<OwnedFd> {
    let context = fsopen("ext4", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", device)?;
    fsconfig_create(&context)?;
    let mount = fsmount(
        &context,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )?;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(&mount, ".", flags, Mode::empty())?)
}

fn writable(disk: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).open(disk)
}
