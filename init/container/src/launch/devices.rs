//! The nodes of a container's own `/dev` (runtime-spec, config-linux.md, "Default Devices").

use super::failure::{Failure, Step};
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{Mode, SFlag, fstat, makedev, mknod};
use nix::unistd::symlinkat;
use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};

/// Nodes that reveal and change nothing, by major and minor number (Linux's devices.txt).
const NODES: [(&CStr, u64, u64); 6] = [
    (c"/dev/null", 1, 3),
    (c"/dev/zero", 1, 5),
    (c"/dev/full", 1, 7),
    (c"/dev/random", 1, 8),
    (c"/dev/urandom", 1, 9),
    (c"/dev/tty", 5, 0),
];

const LINKS: [(&CStr, &CStr); 5] = [
    (c"/dev/fd", c"/proc/self/fd"),
    (c"/dev/stdin", c"/proc/self/fd/0"),
    (c"/dev/stdout", c"/proc/self/fd/1"),
    (c"/dev/stderr", c"/proc/self/fd/2"),
    (c"/dev/ptmx", c"pts/ptmx"),
];

/// Creates them all in an empty `/dev`.
pub(super) fn fill() -> Result<(), Failure> {
    let everyone = Mode::from_bits_retain(0o666);
    for (path, major, minor) in NODES {
        mknod(path, SFlag::S_IFCHR, everyone, makedev(major, minor)).step_on("mknod", path)?;
    }
    for (path, target) in LINKS {
        symlinkat(target, AT_FDCWD, path).step_on("symlink", path)?;
    }
    Ok(())
}

/// Opens the container's null device. The container's root may have put something else there, such as a link to a
/// descriptor of this process, which still has the host's.
///
/// # Errors
/// `ELOOP` if a symbolic link is there, `ENODEV` if another file is.
pub(super) fn open_null() -> nix::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    let null = openat2(AT_FDCWD, c"/dev/null", how)?;
    check_null(&null)?;
    Ok(null)
}

/// # Errors
/// `ENODEV` if `file` is not the null device.
pub(super) fn check_null(file: impl AsFd) -> nix::Result<()> {
    let stat = fstat(file)?;
    let kind = SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT;
    if kind == SFlag::S_IFCHR && stat.st_rdev == makedev(1, 3) {
        return Ok(());
    }
    Err(Errno::ENODEV)
}
