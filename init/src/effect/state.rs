//! The state partition: finding it, mounting it, doing without it.

use super::files::{make_directory, read_bounded, write_atomically};
use super::generations;
use super::mounts::{MountError, mount, unmount};
use crate::job::State;
use crate::paths::{GENERATIONS, MACHINE_ID, STATE, SWAP};
use nix::mount::MsFlags;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tare_container::paths::VOLUMES;

/// Mount options of memory in place of a state partition, for what a machine may lose at power off.
const IN_MEMORY: &str = "mode=0755,size=40%";

/// The partition called `state` on the disk that the root filesystem comes from.
///
/// The root is `/dev/dm-0`, a dm-verity device over a partition of that disk.
pub(crate) fn find() -> Option<PathBuf> {
    partition("state")
}

/// The boot partition of that disk, called `esp`.
pub(crate) fn find_esp() -> Option<PathBuf> {
    partition("esp")
}

fn partition(called: &str) -> Option<PathBuf> {
    let root = below_root()?;
    let partitions = fs::read_dir(root.parent()?).ok()?.flatten();
    let found = partitions
        .map(|entry| entry.path())
        .find(|path| name(path).as_deref() == Some(called))?;
    Some(Path::new("/dev").join(found.file_name()?))
}

/// The name of the partition that the root filesystem comes from.
pub(crate) fn system_slot() -> Option<String> {
    name(&below_root()?)
}

/// The disk that the root filesystem comes from, and every other disk with a partition of the same name. Images of
/// one version share their identifiers, and the kernel takes the first match that it finds.
pub(crate) fn twins() -> Option<(String, Vec<String>)> {
    let root = below_root()?;
    let slot = name(&root)?;
    let partitions = fs::read_dir("/sys/class/block").ok()?.flatten();
    let same = partitions
        .filter_map(|entry| fs::canonicalize(entry.path()).ok())
        .filter(|partition| *partition != root && name(partition).as_ref() == Some(&slot));
    let mut others: Vec<String> = same.filter_map(|partition| disk_of(&partition)).collect();
    others.sort();
    Some((disk_of(&root)?, others))
}

/// The disk of a partition in sysfs.
fn disk_of(partition: &Path) -> Option<String> {
    let disk = partition.parent()?.file_name()?;
    Some(disk.to_string_lossy().into_owned())
}

/// The partition below the root's dm-verity device, in sysfs.
fn below_root() -> Option<PathBuf> {
    let below = first_entry(Path::new("/sys/block/dm-0/slaves"))?;
    fs::canonicalize(Path::new("/sys/class/block").join(below)).ok()
}

fn first_entry(folder: &Path) -> Option<PathBuf> {
    Some(
        fs::read_dir(folder)
            .ok()?
            .flatten()
            .next()?
            .file_name()
            .into(),
    )
}

/// The name of a partition in the disk's GUID partition table.
fn name(partition: &Path) -> Option<String> {
    let uevent = fs::read_to_string(partition.join("uevent")).ok()?;
    let name = uevent
        .lines()
        .find_map(|line| line.strip_prefix("PARTNAME="));
    name.map(ToOwned::to_owned)
}

/// Mounts `partition`, or memory if there is none or it cannot be mounted: a machine without a disk still boots.
/// Creates and reads what PID 1 keeps there.
pub(crate) fn mount_and_read(partition: Option<&Path>) -> State {
    let volatile = !is_mounted(partition.map(mount_partition));
    if volatile {
        mount_memory();
    }
    prepare();
    if let Err(error) = discard(Path::new(TMP)) {
        log::warn!("state: {TMP} of the last boot stays: {error}");
    }
    State {
        volatile,
        has_swap_file: Path::new(SWAP).exists(),
        machine_id: machine_id().unwrap_or_else(|error| {
            log::error!("machine-id: {error}");
            String::new()
        }),
        history: generations::history(),
    }
}

/// Whether there is a partition that could be `mounted`. One that is busy was not: another program has it open for
/// writing, and the state would be a folder of the root filesystem.
fn is_mounted(mounted: Option<Result<(), MountError>>) -> bool {
    match mounted {
        Some(Ok(())) => true,
        Some(Err(error)) => {
            log::error!("state: {error}");
            false
        }
        None => false,
    }
}

/// The user that may use the blocks reserved by `storage`, besides processes with CAP_SYS_RESOURCE: one that does not
/// exist. The default is root, which containers run as.
const RESERVE_OWNER: u32 = u32::MAX - 1;

/// Mounts `partition` as the state.
///
/// With `nodelalloc`, data is on the disk before the transaction that holds its size (`ext4_jbd2_inode_add_write`), so
/// that whatever a program synced later proves that what it wrote before is whole. Otherwise an image that dockerd has
/// just recorded could consist of empty files after a power cut: it syncs the records, but not the layers.
///
/// `commit=` is left at the kernel's 5 s; a damaged file system is remounted read-only instead of being written to.
/// Device nodes and setuid programs work in the volumes of containers, as on any Docker host: services that cannot mount
/// get their volumes without (`compile/mounts.rs`).
fn mount_partition(partition: &Path) -> Result<(), MountError> {
    let flags = MsFlags::MS_NOATIME;
    let source = partition.to_string_lossy();
    mount(
        &source,
        "ext4",
        Path::new(STATE),
        flags,
        &format!("errors=remount-ro,nodelalloc,resuid={RESERVE_OWNER}"),
    )
}

/// Mounts memory as the state.
pub(crate) fn mount_memory() {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount("state", "tmpfs", Path::new(STATE), flags, IN_MEMORY)
        .unwrap_or_else(|error| log::error!("state: {error}"));
}

/// Undoes [`mount_memory`]; services that use it keep it until they end.
pub(crate) fn unmount_memory() {
    if let Err(error) = unmount(Path::new(STATE)) {
        log::warn!("unmount {STATE}: {error}");
    }
}

/// Makes the folders that PID 1 itself keeps on the state.
pub(crate) fn prepare() {
    let folders = [(VOLUMES, 0o711), (GENERATIONS, 0o700)];
    for (path, mode) in folders {
        make_directory(Path::new(path), mode)
            .unwrap_or_else(|error| log::error!("state: make {path}: {error}"));
    }
}

/// The files of `/tmp`, which are gone after a reboot.
const TMP: &str = "/state/volumes/tmp";
/// What [`empty_trash`] removes.
const TRASH: &str = "/state/trash";

/// Moves `folder` away at once, however much is in it.
fn discard(folder: &Path) -> io::Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    make_directory(Path::new(TRASH), 0o700)?;
    let name = fs::read_to_string("/proc/sys/kernel/random/uuid")?;
    fs::rename(folder, Path::new(TRASH).join(name.trim()))
}

/// Removes what was discarded, which may take long.
pub(crate) fn empty_trash() {
    // One that cannot be removed does not keep the others.
    for entry in fs::read_dir(TRASH).into_iter().flatten().flatten() {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            log::warn!("remove {}: {error}", entry.path().display());
        }
    }
}

/// The machine's identity, created if it is missing or invalid.
fn machine_id() -> io::Result<String> {
    let path = Path::new(MACHINE_ID);
    match read_bounded(path, 64).map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()) {
        Ok(id) if is_machine_id(&id) => Ok(id),
        _ => {
            let id = new_machine_id()?;
            write_atomically(path, format!("{id}\n").as_bytes(), 0o444)?;
            Ok(id)
        }
    }
}

/// 32 lower-case hexadecimal digits, not all zero (`machine-id(5)`).
fn is_machine_id(id: &str) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    id.len() == 32 && id.bytes().all(digit) && id.bytes().any(|byte| byte != b'0')
}

/// A random version 4 UUID without dashes, from the kernel.
fn new_machine_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?
        .trim()
        .replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn a_busy_partition_is_not_mounted() {
        let failed = |errno: Errno| {
            Some(Err(MountError::Mount {
                fstype: "ext4".to_owned(),
                target: STATE.into(),
                source: errno.into(),
            }))
        };
        assert!(is_mounted(Some(Ok(()))));
        assert!(!is_mounted(None));
        for errno in [Errno::EBUSY, Errno::EIO] {
            assert!(!is_mounted(failed(errno)), "{errno}");
        }
    }

    #[test]
    fn a_machine_id_is_32_hexadecimal_digits() {
        for (id, want) in [
            ("0123456789abcdef0123456789abcdef", true),
            ("0123456789ABCDEF0123456789abcdef", false),
            ("00000000000000000000000000000000", false),
            ("", false),
        ] {
            assert_eq!(is_machine_id(id), want, "{id}");
        }
    }
}
