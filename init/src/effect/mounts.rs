//! Mounts and unmounts.

use crate::mountinfo;
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

/// Whether something is mounted at `path` itself. Does not look there: what is mounted may not answer.
pub(crate) fn is_mount_point(path: &Path) -> io::Result<bool> {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(is_mounted(&mountinfo, path))
}

/// A mount may lie hidden below one that was mounted later on a folder above it: its parent is another mount then.
fn is_mounted(mountinfo: &str, path: &Path) -> bool {
    let target = |mount: &mountinfo::Mount<'_>| PathBuf::from(mountinfo::unescaped(mount.target));
    let mounts = mountinfo::mounts(mountinfo);
    let above = mounts
        .clone()
        .filter(|mount| path != target(mount) && path.starts_with(target(mount)));
    let above = above.max_by_key(|mount| target(mount).as_os_str().len());
    let lies_on = |mount: &mountinfo::Mount<'_>| above.iter().any(|above| mount.parent == above.id);
    let mut here = mounts.filter(|mount| path == target(mount));
    here.any(|mount| lies_on(&mount))
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
    for (target, file_system) in below(&mounts, top).into_iter().rev() {
        // Others than those of Tare and of the engine may belong to a server that does not answer.
        let flags = match OURS.contains(&file_system.as_str()) {
            true => MntFlags::empty(),
            false => MntFlags::MNT_DETACH,
        };
        if let Err(error) = umount2(&target, flags) {
            log::warn!("unmount {}: {error}", target.display());
        }
    }
    unmount(top)
}

const OURS: [&str; 4] = ["ext4", "overlay", "tmpfs", "xfs"];

/// The mount points of `mountinfo` (`proc_pid_mountinfo(5)`) below `top`, in their order, and their file systems.
fn below(mountinfo: &str, top: &Path) -> Vec<(PathBuf, String)> {
    mountinfo::mounts(mountinfo)
        .map(|mount| {
            (
                mountinfo::unescaped(mount.target).into(),
                mount.fstype.to_owned(),
            )
        })
        .filter(|(point, _): &(PathBuf, String)| point.starts_with(top) && point != top)
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

    /// Mounts sysfs on a folder three times, in a mount namespace that ends with this thread: as a base filesystem, which
    /// succeeds, as any other, and as a base filesystem again. There is one sysfs for a network namespace.
    fn mount_again_and_again() -> (Option<i32>, bool) {
        nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        change(None, Path::new("/"), private).unwrap();
        let folder = std::env::temp_dir().join(format!("tare-mount-{}", std::process::id()));
        let base = [BaseMount {
            fstype: "sysfs",
            target: folder.to_str().unwrap().to_owned().leak(),
            flags: MsFlags::empty(),
            options: "",
            required: true,
        }];
        apply(&base).unwrap();
        let error = match mount("sysfs", "sysfs", &folder, MsFlags::empty(), "") {
            Err(MountError::Mount { source, .. }) => source.raw_os_error(),
            _ => None,
        };
        let base = apply(&base).is_ok();
        umount2(&folder, MntFlags::MNT_DETACH).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        (error, base)
    }

    #[test]
    fn only_a_base_filesystem_may_be_mounted_already() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        let found = std::thread::spawn(mount_again_and_again).join().unwrap();
        assert_eq!(found, (Some(Errno::EBUSY as i32), true));
    }

    #[test]
    fn mounts_that_lie_hidden_do_not_count() {
        let memory = "\
21 1 0:20 / /proc rw - proc proc rw
22 1 8:1 / / rw - erofs erofs rw
30 22 0:41 / /state rw - tmpfs tmpfs rw
31 30 0:41 /volumes/mnt /state/volumes/mnt rw shared:1 - tmpfs tmpfs rw
";
        let disk = format!("{memory}40 30 254:4 / /state rw - ext4 /dev/vda4 rw\n");
        let shared = format!(
            "{disk}41 40 254:4 /volumes/mnt /state/volumes/mnt rw shared:2 - ext4 /dev/vda4 rw\n"
        );
        let nfs = format!("{shared}42 41 0:50 / /state/volumes/mnt rw shared:3 - nfs4 x:/ rw\n");
        for (mountinfo, want) in [
            (memory, true),
            (&disk, false),
            (&shared, true),
            (&nfs, true),
        ] {
            let path = Path::new("/state/volumes/mnt");
            assert_eq!(is_mounted(mountinfo, path), want, "{mountinfo}");
        }
        assert!(!is_mounted(&shared, Path::new("/state/volumes/srv")));
    }

    #[test]
    fn what_is_below_is_found_in_the_order_it_was_mounted() {
        let mountinfo = "\
21 1 0:20 / /proc rw - proc proc rw
30 1 254:4 / /state rw - ext4 /dev/vda4 rw
31 30 254:4 /volumes/a /state/volumes/a rw shared:1 - ext4 /dev/vda4 rw
32 31 0:40 / /state/volumes/a/b\\040c rw shared:2 - overlay overlay rw
33 1 0:41 / /stateless rw - tmpfs tmpfs rw
";
        let found = below(mountinfo, Path::new("/state"));
        let want = [
            ("/state/volumes/a", "ext4"),
            ("/state/volumes/a/b c", "overlay"),
        ];
        let want = want.map(|(point, file_system)| (PathBuf::from(point), file_system.to_owned()));
        assert_eq!(found, want);
    }
}
