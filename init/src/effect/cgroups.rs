//! Cgroups as a whole; those of single services are the launcher's.

use std::fs;
use std::io;
use std::path::Path;
use tare_container::cgroup::ROOT;

/// What reclaim leaves to PID 1: three times what it needs.
const INIT_MEMORY: &str = "12M";
/// What reclaim leaves to services. Those that claim it with a `memory-min` of their own come first, the
/// others share the rest (`memory_recursiveprot`).
const SERVICES_MEMORY: &str = "48M";
/// Containers have the kernel's 100: whoever wants to see what they do to the processors gets in.
const INIT_WEIGHT: &str = "10000";
const SERVICES_WEIGHT: &str = "1000";

/// Sees to it that containers cannot take everything: memory, processors, process ids.
///
/// # Errors
/// The first file that could not be written.
pub(crate) fn protect() -> io::Result<()> {
    write("init", "memory.min", INIT_MEMORY)?;
    write("init", "cpu.weight", INIT_WEIGHT)?;
    write("services", "memory.min", SERVICES_MEMORY)?;
    write("services", "cpu.weight", SERVICES_WEIGHT)?;
    write("containers", "pids.max", &most_tasks()?.to_string())
}

/// Three quarters of the tasks that the kernel allows in all: of its own limit, which follows from the size
/// of memory, or of the process ids, whichever is less.
fn most_tasks() -> io::Result<u64> {
    let limits = ["threads-max", "pid_max"].map(|name| -> io::Result<u64> {
        let text = fs::read_to_string(Path::new("/proc/sys/kernel").join(name))?;
        text.trim().parse().map_err(io::Error::other)
    });
    let [threads, pids] = limits;
    Ok(threads?.min(pids?) / 4 * 3)
}

/// Kills everything in `group` and below (`cgroup.kill`, since 5.14).
pub(crate) fn kill(group: &str) -> io::Result<()> {
    write(group, "cgroup.kill", "1")
}

fn write(group: &str, file: &str, value: &str) -> io::Result<()> {
    let path = Path::new(ROOT).join(group).join(file);
    fs::write(&path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}
