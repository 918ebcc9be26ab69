//! PID 1's own limits.

use nix::sys::resource::{Resource, setrlimit};

/// As many open files as the kernel lets one process have (`fs.nr_open`): the 1024 that it gives its first process would do
/// for 170 services. Services have limits of their own.
const OPEN_FILES: u64 = 1 << 20;

/// Lets this process have as many files open as there may be services.
///
/// # Errors
/// The kernel's.
pub(crate) fn lift_open_files() -> nix::Result<()> {
    setrlimit(Resource::RLIMIT_NOFILE, OPEN_FILES, OPEN_FILES)
}
