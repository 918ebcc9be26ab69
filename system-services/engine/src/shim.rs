//! The shims of containers run in a cgroup of their own, so that containers survive when PID 1 kills the rest of this
//! service.

use crate::hook;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The name by which containerd runs the shim of its runtime `io.containerd.runc.v2`. It finds this program under
/// that name in [`FOLDER`].
pub(crate) const NAME: &str = "containerd-shim-runc-v2";
/// Comes first in containerd's `PATH`.
pub(crate) const FOLDER: &str = "/usr/libexec/tare";
/// The shim itself.
pub(crate) const PROGRAM: &str = "/usr/bin/containerd-shim-runc-v2";
/// Next to the containers' cgroups: when a container has used up its limits, its shim still has resources.
const CGROUP: &str = "/sys/fs/cgroup/containers/shims";

/// The last argument with which containerd starts the shim of a container, in the folder of its bundle. The shim then
/// executes itself, not this program, to stay.
const START: &str = "start";

/// Creates the cgroup if it does not exist.
pub(crate) fn prepare() -> io::Result<()> {
    fs::create_dir_all(CGROUP)
}

/// Executes the shim. Returns only on failure.
pub(crate) fn become_it(arguments: &[OsString]) -> io::Error {
    // Nothing is printed here: containerd would read it as the shim's address. A missing cgroup was reported when it
    // could not be created; containers still run, but end with this service.
    let _ = fs::write(Path::new(CGROUP).join("cgroup.procs"), "0");
    if arguments.last().is_some_and(|argument| argument == START) {
        // A bundle that is not changed runs dockerd's own hook.
        let _ = hook::replace(Path::new("."));
    }
    Command::new(PROGRAM).args(arguments).exec()
}
