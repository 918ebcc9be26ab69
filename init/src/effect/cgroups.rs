//! Cgroups as a whole; those of single services are the launcher's.

use std::io;
use std::path::Path;
use tare_container::cgroup::ROOT;

/// Kills everything in `group` and below (`cgroup.kill`, since 5.14).
pub(crate) fn kill(group: &str) -> io::Result<()> {
    std::fs::write(Path::new(ROOT).join(group).join("cgroup.kill"), "1")
}
