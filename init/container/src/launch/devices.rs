//! The nodes of a container's own `/dev` (runtime-spec, config-linux.md, "Default Devices").

use super::failure::{Failure, Step};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::symlinkat;
use std::ffi::CStr;

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
        symlinkat(target, nix::fcntl::AT_FDCWD, path).step_on("symlink", path)?;
    }
    Ok(())
}
