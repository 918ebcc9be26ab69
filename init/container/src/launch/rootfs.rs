//! What the container sees: its root filesystem, its mounts, its masked and read-only paths.
//!
//! The root filesystem and the volumes may be an attacker's. Sources are opened on the host, then the root is changed,
//! and only then are targets looked up, while no mount of the container follows symbolic links ([`NO_LINKS`]). A mount
//! is therefore at the very path that the spec names, or the launch fails; in particular, `/proc`, `/sys` and `/dev`
//! are what later steps take them for.

use super::devices;
use super::failure::{Failure, Step};
use super::plan::{Plan, PlannedMount};
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2, readlink};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, mknod, stat};
use nix::unistd::{fchdir, mkdir, pivot_root};
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

const NONE: Option<&CStr> = None;

/// Every mount of the container has it until [`follow_links`]. An attribute of the mounts also holds for what a
/// container that shares a volume does there meanwhile, and costs no system call for each target.
const NO_LINKS: u64 = sys::MOUNT_ATTR_NOSYMFOLLOW;
/// The same for `mount(2)` (linux/mount.h).
const NO_LINKS_FLAG: MsFlags = MsFlags::from_bits_retain(libc::MS_NOSYMFOLLOW);

/// Makes the root filesystem of `plan` the root, with its mounts. No symbolic link is followed in them.
pub(super) fn enter(plan: &Plan) -> Result<(), Failure> {
    let sources = open_sources(&plan.mounts)?;
    change_root(&plan.rootfs, plan.read_only_rootfs)?;
    for (planned, source) in plan.mounts.iter().zip(sources) {
        match source {
            Some(tree) => bind(planned, &tree)?,
            None => mount_new(planned)?,
        }
    }
    if plan.shared_rootfs {
        // Only now: a mount made below a shared one would be shared, too.
        mount(NONE, c"/", NONE, MsFlags::MS_SHARED, NONE).step("make / shared")?;
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
    let (source, recursive) = (&planned.source, planned.options.recursive);
    let tree = match planned.in_volume {
        true => open_in_volume(source, recursive),
        false => sys::open_tree(source, recursive),
    };
    tree.map(Some).step_on("open_tree", source)
}

/// Services could have put a link there that leads to anything on the host.
fn open_in_volume(source: &CStr, recursive: bool) -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_PATH | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let source = openat2(AT_FDCWD, source, how)?;
    sys::open_tree_of(source.as_fd(), recursive)
}

fn change_root(rootfs: &CStr, read_only: bool) -> Result<(), Failure> {
    let tree = sys::open_tree(rootfs, false).step_on("open_tree", rootfs)?;
    let read_only = if read_only {
        libc::MOUNT_ATTR_RDONLY
    } else {
        0
    };
    // All device nodes of a container are mounts. One in an image would be any of the host's devices.
    let attributes = libc::MOUNT_ATTR_NODEV | NO_LINKS | read_only;
    sys::set_tree_attributes(tree.as_fd(), attributes, libc::MS_PRIVATE)
        .step_on("mount_setattr", rootfs)?;
    // `pivot_root` refuses shared mounts, and nothing done here may reach the host.
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
    // The old root ends up on top of the new one, at the same place, and is unmounted there, so no directory is
    // needed to put it in (pivot_root(2), "NOTES").
    pivot_root(c".", c".").step_on("pivot_root", rootfs)?;
    umount2(c".", MntFlags::MNT_DETACH).step("detach the old root")
}

fn bind(planned: &PlannedMount, tree: &OwnedFd) -> Result<(), Failure> {
    let (source, target) = (&planned.source, &planned.target);
    let options = &planned.options;
    let propagation = options.propagation.bits();
    sys::set_tree_attributes(tree.as_fd(), options.attributes() | NO_LINKS, propagation)
        .step_on("mount_setattr", source)?;
    if planned.make_target {
        at(make_target(target, is_directory(tree)?), "make", target)?;
    }
    let bound = sys::move_mount(tree.as_fd(), target);
    at(
        bound,
        &format!("bind {} on", source.to_string_lossy()),
        target,
    )
}

/// Names the link that a step on `target` has not followed.
fn at(result: nix::Result<()>, operation: &str, target: &CStr) -> Result<(), Failure> {
    result.map_err(|source| {
        let is_link = readlink(target).is_ok();
        let link = match source {
            _ if is_link => ", which is a symbolic link",
            Errno::ELOOP => ", whose path has a symbolic link",
            _ => "",
        };
        let target = target.to_string_lossy();
        Failure::new(format!("{operation} {target}{link}"), source)
    })
}

fn is_directory(tree: &OwnedFd) -> Result<bool, Failure> {
    let stat = fstat(tree).step("fstat")?;
    Ok(file_type(&stat) == SFlag::S_IFDIR)
}

fn mount_new(planned: &PlannedMount) -> Result<(), Failure> {
    let fstype = planned.fstype.as_deref().unwrap_or(c"none");
    let (source, target) = (planned.source.as_c_str(), planned.target.as_c_str());
    if planned.make_target {
        at(make_target(target, true), "make", target)?;
    }
    let options = &planned.options;
    let data = (!options.data.is_empty()).then_some(options.data.as_c_str());
    let flags = options.flags | NO_LINKS_FLAG;
    let mounted = mount(Some(source), target, Some(fstype), flags, data);
    at(
        mounted,
        &format!("mount {} on", fstype.to_string_lossy()),
        target,
    )
}

/// Creates the target of a mount, unless it exists, and its missing parents.
fn make_target(target: &CStr, directory: bool) -> nix::Result<()> {
    let make = || match directory {
        true => make_directory(target.to_bytes()),
        false => make_file(target),
    };
    match make() {
        Err(Errno::ENOENT) => make_parents(target.to_bytes()).and_then(|()| make()),
        made => made,
    }
}

fn make_parents(path: &[u8]) -> nix::Result<()> {
    let slashes = path.iter().enumerate().skip(1).filter(|(_, b)| **b == b'/');
    slashes
        .map(|(end, _)| &path[..end])
        .try_for_each(make_directory)
}

fn make_file(path: &CStr) -> nix::Result<()> {
    match mknod(path, SFlag::S_IFREG, Mode::from_bits_retain(0o644), 0) {
        Err(Errno::EEXIST) => Ok(()),
        made => made,
    }
}

fn make_directory(path: &[u8]) -> nix::Result<()> {
    match mkdir(path, Mode::from_bits_retain(0o755)) {
        Err(Errno::EEXIST) => Ok(()),
        made => made,
    }
}

/// Hides the masked paths of `plan` and protects the read-only ones. Paths that this kernel does not have are skipped.
pub(super) fn close_paths(plan: &Plan) -> Result<(), Failure> {
    let mut empty: Option<&CStr> = None;
    let mut null: Option<&CStr> = None;
    for path in &plan.masked_paths {
        match kind(path).step_on("stat", path)? {
            Some(SFlag::S_IFDIR) => {
                mask_directory(path, empty).step_on("mask", path)?;
                empty = empty.or(Some(path));
            }
            Some(_) => {
                mask_file(path, null).step_on("mask", path)?;
                null = null.or(Some(path));
            }
            None => {}
        }
    }
    for path in &plan.read_only_paths {
        protect(path).step_on("make read-only", path)?;
    }
    Ok(())
}

/// The type of `path`, if it exists. This is checked first because a mount on the wrong type costs more than its
/// failure: it is torn down after an RCU grace period.
fn kind(path: &CStr) -> nix::Result<Option<SFlag>> {
    match stat(path) {
        Ok(stat) => Ok(Some(file_type(&stat))),
        Err(Errno::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn file_type(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Mounts the null device on `path`, the one already at `null` if there is one.
fn mask_file(path: &CStr, null: Option<&CStr>) -> nix::Result<()> {
    if let Some(null) = null {
        return mount(Some(null), path, NONE, MsFlags::MS_BIND, NONE);
    }
    // The container's own, as its root may change the mode of what masks.
    let null = sys::open_tree(c"/dev/null", false)?;
    devices::check_null(&null)?;
    sys::move_mount(null.as_fd(), path)
}

/// Mounts an empty filesystem on `path`, the one already at `empty` if there is one.
fn mask_directory(path: &CStr, empty: Option<&CStr>) -> nix::Result<()> {
    if let Some(empty) = empty {
        return mount(Some(empty), path, NONE, MsFlags::MS_BIND, NONE);
    }
    let least = Some(c"size=0,nr_inodes=1");
    mount(
        Some(c"tmpfs"),
        path,
        Some(c"tmpfs"),
        MsFlags::MS_RDONLY,
        least,
    )
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

/// Follows symbolic links again, as programs expect.
pub(super) fn follow_links() -> Result<(), Failure> {
    sys::clear_attributes_below(c"/", NO_LINKS).step("mount_setattr /")
}
