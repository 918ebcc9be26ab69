//! Limits of open files.

use nix::sys::resource::{Resource, setrlimit};
use std::fs;
use std::io;

/// As many open files as the kernel lets one process have (`fs.nr_open`): the 1024 that it gives its first process would do
/// for 170 services. Services have limits of their own.
const OPEN_FILES: u64 = 1 << 20;

/// What the machine has open in all: a tenth of its memory's worth unless said otherwise, which one container could take from all
/// others. What is open is charged to a container's memory anyway (the slab `filp` is accounted).
const ALL_OPEN_FILES: (&str, &str) = ("/proc/sys/fs/file-max", "9223372036854775807\n");

/// Lets this process have as many files open as there may be services, and the machine as many as its memory allows.
///
/// # Errors
/// The kernel's.
pub(crate) fn lift_open_files() -> io::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)?;
    fs::write(ALL_OPEN_FILES.0, ALL_OPEN_FILES.1)
}
