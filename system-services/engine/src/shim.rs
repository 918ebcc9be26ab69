//! The shims of containers live in a cgroup of their own: when PID 1 kills what is left of this service,
//! it leaves containers whole.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// What containerd calls the shim of its runtime `io.containerd.runc.v2`. It finds this program under
/// that name, in [`FOLDER`].
pub(crate) const NAME: &str = "containerd-shim-runc-v2";
/// Comes first in containerd's `PATH`.
pub(crate) const FOLDER: &str = "/usr/libexec/tare";
/// The shim itself.
pub(crate) const PROGRAM: &str = "/usr/bin/containerd-shim-runc-v2";
/// Beside the cgroup of the containers: what a container uses up of its limits, its shim still has.
const CGROUP: &str = "/sys/fs/cgroup/containers/shims";

/// Makes the cgroup; it may be there.
pub(crate) fn prepare() -> io::Result<()> {
    fs::create_dir_all(CGROUP)
}

/// Becomes the shim. Comes back only with what is wrong.
pub(crate) fn become_it(arguments: &[OsString]) -> io::Error {
    // What is said here would be read as the shim's address. Without a cgroup, which was reported when
    // it could not be made, containers still run, but end with this service.
    let _ = fs::write(Path::new(CGROUP).join("cgroup.procs"), "0");
    Command::new(PROGRAM).args(arguments).exec()
}
