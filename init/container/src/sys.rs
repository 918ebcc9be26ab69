//! System calls of our kernel that `nix` does not wrap. The only unsafe code of this crate.
//!
//! Each wrapper is as safe as the call: arguments live until it returns, results are checked, and the caller owns the
//! descriptors that the kernel creates.

use libc::{c_int, c_long, c_uint, c_ulong, clone_args, mount_attr};
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// What `clone3` returns in each process.
pub(crate) enum Cloned {
    /// In the parent: the child's process id and pidfd.
    Parent { child: i32, pidfd: OwnedFd },
    /// In the child.
    Child,
}

/// `fork(2)` with namespaces, directly into `cgroup`.
///
/// # Safety
/// The caller's process has one thread, so that the child inherits no lock that is never released (above all the
/// allocator's) and may continue with ordinary Rust code.
pub(crate) unsafe fn clone3(flags: u64, cgroup: BorrowedFd<'_>) -> nix::Result<Cloned> {
    let mut pidfd: RawFd = -1;
    // `try_from` cannot fail: descriptors are not negative.
    let cgroup = u64::try_from(cgroup.as_raw_fd()).unwrap_or(u64::MAX);
    // SAFETY: all zeroes is a valid `clone_args`: no flags, no pointers.
    let mut args: clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags | CLONE_ALWAYS;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    args.cgroup = cgroup;
    // SAFETY: the size given for `args` is correct, and `pidfd` outlives the call. No stack is given, so the child
    // continues on its own copy of ours. The caller guarantees that this is sound.
    let child = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<clone_args>()) };
    let child = i32::try_from(Errno::result(child)?).map_err(|_| Errno::EOVERFLOW)?;
    if child == 0 {
        return Ok(Cloned::Child);
    }
    // SAFETY: in the parent the kernel has stored a new descriptor, which nothing else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Cloned::Parent { child, pidfd })
}

/// A pidfd, the cgroup, and none of our signal handlers: one that ran in the child would write into pipes that the
/// parent reads (Linux 5.7; libc defines these as negative numbers).
const CLONE_ALWAYS: u64 = libc::CLONE_PIDFD as u64 | CLONE_INTO_CGROUP | CLONE_CLEAR_SIGHAND;
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// A detached copy of the mount at `path` and, if `recursive`, of the mounts below it.
pub(crate) fn open_tree(path: &CStr, recursive: bool) -> nix::Result<OwnedFd> {
    clone_tree(libc::AT_FDCWD, path, recursive, 0)
}

/// The same for the file or folder that is open as `source`.
pub(crate) fn open_tree_of(source: BorrowedFd<'_>, recursive: bool) -> nix::Result<OwnedFd> {
    clone_tree(source.as_raw_fd(), c"", recursive, libc::AT_EMPTY_PATH)
}

fn clone_tree(
    directory: RawFd,
    path: &CStr,
    recursive: bool,
    flags: c_int,
) -> nix::Result<OwnedFd> {
    let recursively = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | (recursively | flags) as c_uint;
    // SAFETY: `path` is a C string that outlives the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) };
    owned(fd)
}

/// Attaches a mount from [`open_tree`] to `target`. A symbolic link there is not followed.
pub(crate) fn move_mount(tree: BorrowedFd<'_>, target: &CStr) -> nix::Result<()> {
    // SAFETY: both paths are C strings that outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    done(result)
}

/// No symbolic link that lies on the mount is followed, neither a magic link nor an ordinary one (mount_setattr(2),
/// Linux 5.14; `libc` does not have it).
pub(crate) const MOUNT_ATTR_NOSYMFOLLOW: u64 = 0x0020_0000;

/// Sets attributes and, if not 0, the propagation of the mount `tree` and all mounts below it.
pub(crate) fn set_tree_attributes(
    tree: BorrowedFd<'_>,
    attributes: u64,
    propagation: u64,
) -> nix::Result<()> {
    let flags = libc::AT_EMPTY_PATH | libc::AT_RECURSIVE;
    let attr = attributes_to_set(attributes, propagation);
    mount_setattr(tree.as_raw_fd(), c"", flags, attr)
}

/// Sets attributes of the mount at `path`.
pub(crate) fn set_path_attributes(path: &CStr, attributes: u64) -> nix::Result<()> {
    let attr = attributes_to_set(attributes, 0);
    mount_setattr(libc::AT_FDCWD, path, 0, attr)
}

/// Clears attributes of the mount at `path` and all mounts below it.
pub(crate) fn clear_attributes_below(path: &CStr, attributes: u64) -> nix::Result<()> {
    let mut attr = attributes_to_set(0, 0);
    attr.attr_clr = attributes;
    mount_setattr(libc::AT_FDCWD, path, libc::AT_RECURSIVE, attr)
}

fn attributes_to_set(attributes: u64, propagation: u64) -> mount_attr {
    mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation,
        userns_fd: 0,
    }
}

fn mount_setattr(
    directory: RawFd,
    path: &CStr,
    flags: c_int,
    mut attr: mount_attr,
) -> nix::Result<()> {
    // SAFETY: `path` is a C string, and the size given for `attr` is correct; both outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            directory,
            path.as_ptr(),
            flags,
            &raw mut attr,
            size_of::<mount_attr>(),
        )
    };
    done(result)
}

/// Sets the thread's three capability sets (`capset(2)`), bit N for capability N.
pub(crate) fn set_capabilities(
    effective: u64,
    permitted: u64,
    inheritable: u64,
) -> nix::Result<()> {
    // linux/capability.h: version 3 takes the low words of the three sets, then the high words.
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let sets = [effective, permitted, inheritable];
    let low = sets.map(|set| (set & u64::from(u32::MAX)) as u32);
    let high = sets.map(|set| (set >> 32) as u32);
    let data = [low, high];
    // SAFETY: both arrays are laid out as the kernel's structs, and outlive the call.
    done(unsafe { libc::syscall(libc::SYS_capset, &raw const header, &raw const data) })
}

/// Removes `capability` from the bounding set.
pub(crate) fn drop_bounding(capability: u32) -> nix::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, c_ulong::from(capability), 0)
}

/// Adds `capability` to the ambient set.
pub(crate) fn raise_ambient(capability: u32) -> nix::Result<()> {
    let raise = libc::PR_CAP_AMBIENT_RAISE as c_ulong;
    prctl(libc::PR_CAP_AMBIENT, raise, c_ulong::from(capability))
}

fn prctl(option: c_int, second: c_ulong, third: c_ulong) -> nix::Result<()> {
    // SAFETY: the options used here take numbers only.
    done(c_long::from(unsafe {
        libc::prctl(option, second, third, 0 as c_ulong, 0 as c_ulong)
    }))
}

/// Loads a filter, an array of `struct sock_filter`, for this thread and the programs it executes.
pub(crate) fn load_filter(filter: &[u8]) -> nix::Result<()> {
    let instructions = filter.len() / size_of::<libc::sock_filter>();
    let program = libc::sock_fprog {
        len: u16::try_from(instructions).map_err(|_| Errno::E2BIG)?,
        filter: filter.as_ptr() as *mut libc::sock_filter,
    };
    let filter_mode = c_long::from(libc::SECCOMP_SET_MODE_FILTER);
    // SAFETY: the kernel copies `len` instructions from `filter`, which holds that many; it does not
    // write to them, and copies bytes, so they need no alignment.
    done(unsafe { libc::syscall(libc::SYS_seccomp, filter_mode, 0, &raw const program) })
}

/// A copy of `fd` that is at least `lowest` and is closed by `execve`.
pub(crate) fn duplicate_above(fd: BorrowedFd<'_>, lowest: RawFd) -> nix::Result<OwnedFd> {
    // SAFETY: `fcntl` with this command takes numbers only.
    let copy = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, lowest) };
    owned(c_long::from(copy))
}

/// Makes `number` a copy of `fd` that survives `execve`, whatever it was before. Only for a process that is about to
/// execute: the owner of `number` does not know.
pub(crate) fn duplicate_to(fd: RawFd, number: RawFd) -> nix::Result<()> {
    // SAFETY: `dup2` takes numbers only.
    done(c_long::from(unsafe { libc::dup2(fd, number) }))
}

/// Closes every descriptor from `first` up to but excluding `end`. Only for a process that is about to execute: their
/// owners do not know.
pub(crate) fn close_from_until(first: RawFd, end: RawFd) -> nix::Result<()> {
    if first >= end {
        return Ok(());
    }
    let (first, last) = (first as c_uint, (end - 1) as c_uint);
    // SAFETY: `close_range` takes numbers only.
    done(c_long::from(unsafe { libc::close_range(first, last, 0) }))
}

/// Makes the terminal `fd` the controlling terminal of the session that this process leads.
///
/// # Errors
/// `ENOTTY` if it is not a terminal, `EPERM` if it is another session's.
pub(crate) fn set_controlling_terminal(fd: RawFd) -> nix::Result<()> {
    // 1 would take it away from the other session.
    const NOT_BY_FORCE: c_int = 0;
    // SAFETY: this request takes a number.
    done(c_long::from(unsafe {
        libc::ioctl(fd, libc::TIOCSCTTY, NOT_BY_FORCE)
    }))
}

/// Sends `signal` to the process of `pidfd`.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: c_int) -> nix::Result<()> {
    let no_info: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null `siginfo_t` is allowed: the kernel makes one as for `kill(2)`.
    done(unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    })
}

/// Ends the process at once, without running the parent's exit handlers.
pub(crate) fn exit_now(status: c_int) -> ! {
    // SAFETY: `_exit` takes a number and does not return.
    unsafe { libc::_exit(status) }
}

/// Restores the default disposition of `signal`.
pub(crate) fn reset_signal(signal: nix::sys::signal::Signal) -> nix::Result<()> {
    use nix::sys::signal::{SigHandler, signal as set};
    // SAFETY: the default disposition runs no code of ours.
    unsafe { set(signal, SigHandler::SigDfl) }.map(drop)
}

fn owned(fd: c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(fd)?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EOVERFLOW)?;
    // SAFETY: the call that returned this descriptor created it, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn done(result: c_long) -> nix::Result<()> {
    Errno::result(result).map(drop)
}
