//! A partition and the disk it is on, according to sysfs.

use rustix::ioctl::{self, Ioctl, IoctlOutput, Opcode};
use std::ffi::c_void;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::{fs, io, mem};

/// The unit of sysfs, whatever the size of the disk's own sectors.
const SECTOR: u64 = 512;

/// A partition; lengths and positions in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    /// The device of the whole disk.
    pub(crate) disk: PathBuf,
    pub(crate) disk_size: u64,
    /// The size of the disk's logical sectors.
    pub(crate) sector: u64,
    /// Counted from 1.
    pub(crate) number: u32,
    pub(crate) start: u64,
}

impl Partition {
    /// The partition behind `device`; `None` if it is something else, a whole disk for example.
    ///
    /// # Errors
    /// When sysfs cannot be read.
    pub(crate) fn of(device: &Path) -> io::Result<Option<Self>> {
        let name = device.file_name().unwrap_or_default();
        let node = fs::canonicalize(Path::new("/sys/class/block").join(name))?;
        if !node.join("partition").exists() {
            return Ok(None);
        }
        let parent = node.parent().unwrap_or(&node);
        let disk = parent.file_name().unwrap_or_default();
        Ok(Some(Self {
            disk: device.with_file_name(disk),
            disk_size: number(parent, "size")? * SECTOR,
            sector: number(parent, "queue/logical_block_size")?,
            number: number(&node, "partition")? as u32,
            start: number(&node, "start")? * SECTOR,
        }))
    }

    /// Tells the kernel that the partition is `length` bytes long now; it may be in use.
    ///
    /// # Errors
    /// The kernel's, above all EPERM without `CAP_SYS_ADMIN`.
    pub(crate) fn set_length(&self, disk: impl AsFd, length: u64) -> io::Result<()> {
        let mut change = BlkpgPartition {
            start: self.start as i64,
            length: length as i64,
            number: self.number as i32,
            names: [0; 128],
        };
        let request = ResizePartition(BlkpgIoctl {
            operation: BLKPG_RESIZE_PARTITION,
            flags: 0,
            length: mem::size_of::<BlkpgPartition>() as i32,
            data: &raw mut change,
        });
        // SAFETY: the opcode is BLKPG, whose argument is a `blkpg_ioctl_arg`; what it points to
        // lives until the call returns.
        unsafe { ioctl::ioctl(disk, request)? };
        Ok(())
    }
}

fn number(node: &Path, attribute: &str) -> io::Result<u64> {
    let text = fs::read_to_string(node.join(attribute))?;
    text.trim().parse().map_err(io::Error::other)
}

/// `linux/blkpg.h`.
const BLKPG: Opcode = 0x1269;
const BLKPG_RESIZE_PARTITION: i32 = 3;

/// `struct blkpg_partition`.
#[repr(C)]
struct BlkpgPartition {
    start: i64,
    length: i64,
    number: i32,
    /// `devname` and `volname`, both unused.
    names: [u8; 128],
}

/// `struct blkpg_ioctl_arg`.
#[repr(C)]
struct BlkpgIoctl {
    operation: i32,
    flags: i32,
    length: i32,
    data: *mut BlkpgPartition,
}

struct ResizePartition(BlkpgIoctl);

// SAFETY: the pointer is to a value of the type that the opcode takes, and nothing is read back.
unsafe impl Ioctl for ResizePartition {
    type Output = ();
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        BLKPG
    }

    fn as_ptr(&mut self) -> *mut c_void {
        (&raw mut self.0).cast()
    }

    // SAFETY: it reads neither the status nor the pointer.
    unsafe fn output_from_ptr(_: IoctlOutput, _: *mut c_void) -> rustix::io::Result<()> {
        Ok(())
    }
}
