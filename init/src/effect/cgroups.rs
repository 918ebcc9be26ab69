//! The top-level cgroups; those of single services are the launcher's.

use super::memory;
use std::fs;
use std::io;
use std::path::Path;
use tare_container::cgroup::{CONTAINERS, ROOT};

/// Memory protected from reclaim for PID 1: three times what it needs.
const INIT_MEMORY: &str = "12M";
/// Memory protected from reclaim for services. Those with a `memory-min` of their own claim it first, the others
/// share the rest (`memory_recursiveprot`).
const SERVICES_MEMORY: &str = "48M";
/// Containers have the kernel's default of 100, so that one can still log in and see what keeps the CPUs busy.
const INIT_WEIGHT: &str = "10000";
const SERVICES_WEIGHT: &str = "1000";

/// The memory that containers may not take: the services' own, most of it the engine's. On a small machine, three
/// quarters of all memory.
const RESERVE: u64 = 192 << 20;

/// Keeps containers from taking everything: memory, CPU time, process ids.
///
/// With a limit below the machine's own, it is the containers' cgroup that runs out of memory, and the OOM killer
/// picks a process in there. The limit of process ids excludes the containers' shims, which need some more to end a
/// container that has taken all.
///
/// # Errors
/// The first file that could not be read or written.
pub(crate) fn protect() -> io::Result<()> {
    write("init", "memory.min", INIT_MEMORY)?;
    write("init", "cpu.weight", INIT_WEIGHT)?;
    write("services", "memory.min", SERVICES_MEMORY)?;
    write("services", "cpu.weight", SERVICES_WEIGHT)?;
    let memory = memory::total()?;
    let most = memory - RESERVE.min(memory / 4 * 3);
    write("containers", "memory.max", &most.to_string())?;
    write(CONTAINERS, "pids.max", &(tasks()? / 2).to_string())
}

/// How many tasks the kernel allows in total, which depends on the size of memory.
fn tasks() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/sys/kernel/threads-max")?;
    text.trim().parse().map_err(io::Error::other)
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
