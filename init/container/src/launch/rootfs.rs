//! What the container sees: its root filesystem, its mounts, its closed paths.
//!
//! Sources are opened on the host; then the root is changed; only then targets are looked up. A
//! symbolic link that a service left in its volume can lead nowhere but into its own container.

use super::failure::{Failure, Step};
use super::plan::{Plan, PlannedMount};
use crate::sys;
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{Mode, SFlag, fstat, mknod};
use nix::unistd::{fchdir, mkdir, pivot_root};
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};

const NONE: Option<&CStr> = None;

/// Makes the root filesystem of `plan` the root, with its mounts.
pub(super) fn enter(plan: &Plan) -> Result<(), Failure> {
    let sources = open_sources(&plan.mounts)?;
    change_root(&plan.rootfs, plan.read_only_rootfs)?;
    for (planned, source) in plan.mounts.iter().zip(sources) {
        match source {
            Some(tree) => bind(planned, &tree)?,
            None => mount_new(planned)?,
        }
    }
    Ok(())
}

/// The source of each bind mount.
fn open_sources(mounts: &[PlannedMount]) -> Result<Vec<Option<OwnedFd>>, Failure> {
    mounts.iter().map(open_source).collect()
}

fn open_source(planned: &PlannedMount) -> Result<Option<OwnedFd>, Failure> {
    if planned.fstype.is_some() {
        return Ok(None);
    }
    let tree = sys::open_tree(&planned.source, planned.options.recursive);
    tree.map(Some).step_on("open_tree", &planned.source)
}

fn change_root(rootfs: &CStr, read_only: bool) -> Result<(), Failure> {
    let tree = sys::open_tree(rootfs, false).step_on("open_tree", rootfs)?;
    let attributes = if read_only {
        libc::MOUNT_ATTR_RDONLY
    } else {
        0
    };
    sys::set_tree_attributes(tree.as_fd(), attributes, libc::MS_PRIVATE)
        .step_on("mount_setattr", rootfs)?;
    // `pivot_root` refuses shared mounts; nor may anything done here reach the host.
    mount(
        NONE,
        c"/",
        NONE,
        MsFlags::MS_REC | MsFlags::MS_PRIVATE,
        NONE,
    )
    .step("make / private")?;
    sys::move_mount(tree.as_fd(), rootfs).step_on("move_mount to", rootfs)?;
    fchdir(&tree).step_on("chdir", rootfs)?;
    // The old root ends up on top of the new one, at the same place, and is taken off there:
    // no directory is needed to put it (pivot_root(2), "NOTES").
    pivot_root(c".", c".").step_on("pivot_root", rootfs)?;
    umount2(c".", MntFlags::MNT_DETACH).step("detach the old root")
}

fn bind(planned: &PlannedMount, tree: &OwnedFd) -> Result<(), Failure> {
    let options = &planned.options;
    let propagation = options.propagation.bits();
    sys::set_tree_attributes(tree.as_fd(), options.attributes(), propagation)
        .step_on("mount_setattr", &planned.source)?;
    let attach = || sys::move_mount(tree.as_fd(), &planned.target);
    let attached = match attach() {
        Err(Errno::ENOENT) => make_target(planned, is_directory(tree)?).and_then(|()| attach()),
        attached => attached,
    };
    attached.map_err(|source| {
        let (from, to) = (&planned.source, &planned.target);
        let step = format!(
            "bind {} on {}",
            from.to_string_lossy(),
            to.to_string_lossy()
        );
        Failure::new(step, source)
    })
}

fn is_directory(tree: &OwnedFd) -> Result<bool, Failure> {
    let stat = fstat(tree).step("fstat")?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == SFlag::S_IFDIR)
}

fn mount_new(planned: &PlannedMount) -> Result<(), Failure> {
    let fstype = planned.fstype.as_deref().unwrap_or(c"none");
    let (source, options) = (planned.source.as_c_str(), &planned.options);
    let target = planned.target.as_c_str();
    let data = (!options.data.is_empty()).then_some(options.data.as_c_str());
    let attach = || mount(Some(source), target, Some(fstype), options.flags, data);
    let attached = match attach() {
        Err(Errno::ENOENT) => make_target(planned, true).and_then(|()| attach()),
        attached => attached,
    };
    attached.map_err(|source| {
        let step = format!(
            "mount {} on {}",
            fstype.to_string_lossy(),
            target.to_string_lossy()
        );
        Failure::new(step, source)
    })
}

/// Makes the target of a mount with the directories above it: inside a tmpfs nobody else has.
fn make_target(planned: &PlannedMount, directory: bool) -> nix::Result<()> {
    let target = planned.target.as_bytes();
    let parents = target
        .iter()
        .enumerate()
        .skip(1)
        .filter(|(_, b)| **b == b'/');
    for (end, _) in parents {
        make_directory(&target[..end])?;
    }
    if directory {
        return make_directory(target);
    }
    mknod(
        &*planned.target,
        SFlag::S_IFREG,
        Mode::from_bits_retain(0o644),
        0,
    )
}

fn make_directory(path: &[u8]) -> nix::Result<()> {
    match mkdir(path, Mode::from_bits_retain(0o755)) {
        Err(Errno::EEXIST) => Ok(()),
        made => made,
    }
}

/// Hides the masked paths of `plan` and protects the read-only ones; those that this kernel does not
/// have need neither.
pub(super) fn close_paths(plan: &Plan) -> Result<(), Failure> {
    let mut empty: Option<&CString> = None;
    for path in &plan.masked_paths {
        if mask(path, empty).step_on("mask", path)? == Masked::Directory {
            empty = empty.or(Some(path));
        }
    }
    for path in &plan.read_only_paths {
        protect(path).step_on("make read-only", path)?;
    }
    Ok(())
}

#[derive(PartialEq, Eq)]
enum Masked {
    Missing,
    File,
    Directory,
}

/// Puts `/dev/null` on a file; on a directory, `empty` if there is such a directory already: one
/// empty filesystem is enough for all.
fn mask(path: &CStr, empty: Option<&CString>) -> nix::Result<Masked> {
    let on_file = mount(Some(c"/dev/null"), path, NONE, MsFlags::MS_BIND, NONE);
    match on_file {
        Ok(()) => return Ok(Masked::File),
        Err(Errno::ENOENT) => return Ok(Masked::Missing),
        Err(Errno::ENOTDIR) => {}
        Err(error) => return Err(error),
    }
    match empty {
        Some(empty) => mount(Some(empty.as_c_str()), path, NONE, MsFlags::MS_BIND, NONE),
        None => mount(
            Some(c"tmpfs"),
            path,
            Some(c"tmpfs"),
            MsFlags::MS_RDONLY,
            Some(c"size=0,nr_inodes=1"),
        ),
    }
    .map(|()| Masked::Directory)
}

fn protect(path: &CStr) -> nix::Result<()> {
    match mount(
        Some(path),
        path,
        NONE,
        MsFlags::MS_BIND | MsFlags::MS_REC,
        NONE,
    ) {
        Err(Errno::ENOENT) => return Ok(()),
        bound => bound?,
    }
    sys::set_path_attributes(path, libc::MOUNT_ATTR_RDONLY)
}
