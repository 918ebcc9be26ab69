//! Growing the partition to the end of its disk, and the file system to the end of its partition.

use crate::disk::Partition;
use crate::ext4::{self, Superblock};
use crate::gpt::Table;
use rustix::fs::{Mode, OFlags, openat};
use rustix::ioctl::{Setter, ioctl, opcode};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Less than this, in bytes, is not worth the writes.
const WORTH: u64 = 8 << 20;

/// True if a format of `partition` was begun and not finished.
///
/// # Errors
/// When the table cannot be read.
pub(crate) fn is_half_formatted(partition: &Partition) -> io::Result<bool> {
    let disk = File::open(&partition.disk)?;
    Ok(Table::read(&disk, partition.sector)?.is_formatting(partition.number))
}

/// Grows `partition` to the end of its disk, and notes there if it is about to be formatted.
///
/// # Errors
/// When the table cannot be read or written, or the kernel does not take the new length.
pub(crate) fn partition(partition: &Partition, formatting: bool) -> io::Result<()> {
    let disk = File::open(&partition.disk)?;
    let mut table = Table::read(&disk, partition.sector)?;
    let grown = grow(&mut table, partition);
    if formatting {
        table.set_formatting(partition.number, true);
    }
    if formatting || grown.is_some() {
        table.write(&writable(&partition.disk)?)?;
    }
    match grown {
        Some(length) => partition.set_length(&disk, length),
        None => Ok(()),
    }
}

/// Takes back the note that `partition` is being formatted.
///
/// # Errors
/// When the table cannot be read or written.
pub(crate) fn formatted(partition: &Partition) -> io::Result<()> {
    let disk = writable(&partition.disk)?;
    let mut table = Table::read(&disk, partition.sector)?;
    table.set_formatting(partition.number, false);
    table.write(&disk)
}

/// Grows the partition in `table`; its new length in bytes, if it is worth it.
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
    let length = File::open(device)?.seek(SeekFrom::End(0))?;
    match ext4::superblock(device)? {
        Some(found) if is_short(found, length) => resize(device, length / found.block_size),
        _ => Ok(()),
    }
}

fn is_short(found: Superblock, length: u64) -> bool {
    found
        .blocks
        .saturating_mul(found.block_size)
        .saturating_add(WORTH)
        <= length
}

/// Resizes the file system while it is mounted, where nobody else sees it: the kernel journals
/// each step, while `resize2fs` on an unmounted one must not be interrupted.
fn resize(device: &Path, blocks: u64) -> io::Result<()> {
    let root = mount(device)?;
    const RESIZE: rustix::ioctl::Opcode = opcode::write::<u64>(b'f', 16);
    // SAFETY: the opcode is EXT4_IOC_RESIZE_FS, whose argument is a count of blocks, a `u64`.
    let request = unsafe { Setter::<RESIZE, u64>::new(blocks) };
    // SAFETY: as above; `root` is a directory of an ext4.
    unsafe { ioctl(&root, request)? };
    Ok(())
}

/// The root of the ext4 on `device`, mounted nowhere; unmounted when it is closed.
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
