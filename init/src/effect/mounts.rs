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

/// Mounts the base filesystems; what boot can go on without is only reported.
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
            Err(error) if step.required => return Err(error),
            Err(error) => missing.push(error),
            Ok(()) => {}
        }
    }
    Ok(missing)
}

/// Mounts `source` of `fstype` on `target`. A target that is mounted already is left as it is.
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
    match mounted {
        Ok(_) => Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => Ok(()),
        Err(source) => Err(MountError::Mount {
            fstype: fstype.to_owned(),
            target: target.to_owned(),
            source,
        }),
    }
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

/// Unmounts `target` now, or as soon as its last user is gone if that is not possible.
pub(crate) fn unmount(target: &Path) -> Result<(), Errno> {
    match umount2(target, MntFlags::empty()) {
        Err(Errno::EBUSY) => umount2(target, MntFlags::MNT_DETACH),
        done => done,
    }
}
