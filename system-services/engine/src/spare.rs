//! Disk space reserved for dockerd's start. Without a free block or inode dockerd does not start, and without dockerd
//! the images and containers that fill the disk cannot be deleted.
//!
//! The file system also reserves blocks for processes with `CAP_SYS_RESOURCE`, which containers usually lack; a
//! privileged container can use up those, too.

use anyhow::{Context, Result};
use rustix::fs::{FallocateFlags, StatVfs, fallocate, statvfs};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

/// On the file system that dockerd writes to; dockerd leaves unknown files alone.
pub(crate) const FOLDER: &str = "/var/lib/docker/tare-spare";
/// The reserve: a start takes some hundred KiB and ten inodes, and removing a container takes less.
const BYTES: u64 = 8 << 20;
const INODES: u64 = 64;

/// Releases the reserve in `folder` if dockerd may need it.
///
/// # Errors
/// If the file system cannot be queried or the reserve cannot be removed.
pub(crate) fn release(folder: &Path) -> Result<()> {
    if !folder.exists() || !is_scarce(folder)? {
        return Ok(());
    }
    eprintln!("the disk is full: giving up the room that is kept for a start");
    fs::remove_dir_all(folder).with_context(|| format!("remove {}", folder.display()))
}

/// Creates the reserve in `folder`, whose parent must exist, unless space is scarce.
///
/// # Errors
/// If the file system cannot be queried or a file cannot be created. A partial reserve is kept.
pub(crate) fn keep(folder: &Path) -> Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    if folder.exists() || is_scarce(parent)? {
        return Ok(());
    }
    make(folder).with_context(|| format!("keep room in {}", folder.display()))
}

fn make(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    let blocks = File::create(folder.join("blocks"))?;
    fallocate(&blocks, FallocateFlags::empty(), 0, BYTES)?;
    let file = |number| File::create(folder.join(format!("inode-{number:02}"))).map(drop);
    (0..INODES).try_for_each(file)
}

/// Whether the file system of `path` has less space left than twice the reserve.
fn is_scarce(path: &Path) -> Result<bool> {
    match statvfs(path).map_err(io::Error::from) {
        Ok(found) => Ok(is_little(&found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("look at {}", path.display())),
    }
}

/// Blocks that the file system reserves count as free: dockerd may use them.
fn is_little(found: &StatVfs) -> bool {
    // A file system that allocates inodes on demand reports none.
    let has_inodes = found.f_files > 0;
    found.f_bfree.saturating_mul(found.f_frsize) < 2 * BYTES
        || has_inodes && found.f_ffree < 2 * INODES
}

#[cfg(test)]
mod tests {
    use super::*;

    const LARGE: StatVfs = StatVfs {
        f_bsize: 4096,
        f_frsize: 4096,
        f_blocks: 1 << 20,
        f_bfree: 1 << 19,
        f_bavail: 1 << 19,
        f_files: 1 << 18,
        f_ffree: 1 << 17,
        f_favail: 1 << 17,
        f_fsid: 0,
        f_flag: rustix::fs::StatVfsMountFlags::empty(),
        f_namemax: 255,
    };

    #[test]
    fn what_is_little() {
        for (found, want) in [
            (LARGE, false),
            (
                StatVfs {
                    f_bfree: 4095,
                    ..LARGE
                },
                true,
            ),
            (
                StatVfs {
                    f_ffree: 127,
                    ..LARGE
                },
                true,
            ),
            (
                StatVfs {
                    f_files: 0,
                    f_ffree: 0,
                    ..LARGE
                },
                false,
            ),
        ] {
            assert_eq!(
                is_little(&found),
                want,
                "{}, {}",
                found.f_bfree,
                found.f_ffree
            );
        }
    }

    #[test]
    fn room_is_kept_once_and_only_given_up_on_a_full_disk() {
        let root = std::env::temp_dir().join(format!("tare-spare-{}", std::process::id()));
        fs::create_dir_all(&root).unwrap();
        let folder = root.join("spare");
        keep(&folder).unwrap();
        assert_eq!(fs::metadata(folder.join("blocks")).unwrap().len(), BYTES);
        assert_eq!(fs::read_dir(&folder).unwrap().count() as u64, INODES + 1);
        keep(&folder).unwrap();
        release(&folder).unwrap();
        assert!(folder.exists());
        keep(&root.join("none/spare")).unwrap();
        fs::remove_dir_all(root).unwrap();
    }
}
