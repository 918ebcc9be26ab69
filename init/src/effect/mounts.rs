//! Mounts and unmounts.

use crate::plan::mounts::BaseMount;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, umount2};
use std::io;
use std::path::{Path, PathBuf};
use sys_mount::{FilesystemType, Mount, MountFlags};

/// Why a filesystem could not be mounted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MountError {
    #[error("make mount point {}: {source}", target.display())]
    CreateTarget { target: PathBuf, source: io::Error },
    #[error("mount {fstype} on {}: {source}", target.display())]
    Mount {
        fstype: String,
        target: PathBuf,
        source: io::Error,
    },
}

/// Mounts the base filesystems; failures of optional ones are only reported.
///
/// # Errors
/// The first required filesystem that could not be mounted.
pub(crate) fn apply(plan: &[BaseMount]) -> Result<Vec<MountError>, MountError> {
    let mut missing = Vec::new();
    for step in plan {
        match mount(
            step.fstype,
            step.fstype,
            Path::new(step.target),
            step.flags,
            step.options,
        ) {
            // The kernel has mounted /dev already (`CONFIG_DEVTMPFS_MOUNT`).
            Err(error) if error.is_busy() => {}
            Err(error) if step.required => return Err(error),
            Err(error) => missing.push(error),
            Ok(()) => {}
        }
    }
    Ok(missing)
}

impl MountError {
    fn is_busy(&self) -> bool {
        matches!(self, Self::Mount { source, .. } if source.raw_os_error() == Some(Errno::EBUSY as i32))
    }
}

/// Mounts `source` of `fstype` on `target`.
pub(crate) fn mount(
    source: &str,
    fstype: &str,
    target: &Path,
    flags: MsFlags,
    options: &str,
) -> Result<(), MountError> {
    make_target(target)?;
    let mounted = Mount::builder()
        .fstype(FilesystemType::Manual(fstype))
        .flags(MountFlags::from_bits_truncate(flags.bits()))
        .data(options)
        .mount(source, target);
    mounted.map(drop).map_err(|source| MountError::Mount {
        fstype: fstype.to_owned(),
        target: target.to_owned(),
        source,
    })
}

fn make_target(target: &Path) -> Result<(), MountError> {
    if target.is_dir() {
        return Ok(());
    }
    std::fs::create_dir_all(target).map_err(|source| MountError::CreateTarget {
        target: target.to_owned(),
        source,
    })
}

/// Makes `folder` a shared mount: what is mounted below a copy of it is mounted here too (`mount_namespaces(7)`). It
/// may be one already.
pub(crate) fn share(folder: &Path) -> nix::Result<()> {
    match change(None, folder, MsFlags::MS_SHARED) {
        // Not a mount yet.
        Err(Errno::EINVAL) => {
            change(Some(folder), folder, MsFlags::MS_BIND)?;
            change(None, folder, MsFlags::MS_SHARED)
        }
        done => done,
    }
}

fn change(source: Option<&Path>, target: &Path, flags: MsFlags) -> nix::Result<()> {
    let none = None::<&str>;
    nix::mount::mount(source, target, none, flags, none)
}

/// Unmounts everything below `top`, the last mount first, and then `top`.
///
/// # Errors
/// Of `top` itself. As a last resort, [`unmount`] detaches it with everything left below.
pub(crate) fn unmount_all(top: &Path) -> Result<(), Errno> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for target in below(&mounts, top).into_iter().rev() {
        if let Err(error) = umount2(&target, MntFlags::empty()) {
            log::warn!("unmount {}: {error}", target.display());
        }
    }
    unmount(top)
}

/// The mount points of `mountinfo` (`proc_pid_mountinfo(5)`) below `top`, in their order.
fn below(mountinfo: &str, top: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .map(PathBuf::from)
        .filter(|point| point.starts_with(top) && point != top)
        .collect()
}

/// Unmounts `target` now or, if it is busy, as soon as its last user is gone.
pub(crate) fn unmount(target: &Path) -> Result<(), Errno> {
    match umount2(target, MntFlags::empty()) {
        Err(Errno::EBUSY) => umount2(target, MntFlags::MNT_DETACH),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_is_found_in_the_order_it_was_mounted() {
        let mountinfo = "\
21 1 0:20 / /proc rw - proc proc rw
30 1 254:4 / /state rw - ext4 /dev/vda4 rw
31 30 254:4 /volumes/a /state/volumes/a rw shared:1 - ext4 /dev/vda4 rw
32 31 0:40 / /state/volumes/a/b rw shared:2 - overlay overlay rw
33 1 0:41 / /stateless rw - tmpfs tmpfs rw
";
        let found = below(mountinfo, Path::new("/state"));
        let want = ["/state/volumes/a", "/state/volumes/a/b"];
        assert_eq!(found, want.map(PathBuf::from));
    }
}
