//! What a service uses, from its cgroup (`Documentation/admin-guide/cgroup-v2.rst`).

use std::fs;
use std::path::Path;

/// What a service uses; `None` if the kernel does not say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// Bytes.
    pub(super) memory: Option<u64>,
    /// Microseconds.
    pub(super) cpu: Option<u64>,
    /// Threads.
    pub(super) tasks: Option<u64>,
}

/// Reads what the service in `cgroup` uses.
pub(super) fn of(cgroup: &Path) -> Usage {
    let read = |file: &str| fs::read_to_string(cgroup.join(file)).ok();
    let cached = read("memory.stat").and_then(|stat| value(&stat, "inactive_file"));
    let memory = read("memory.current").and_then(|text| text.trim().parse::<u64>().ok());
    Usage {
        // Does not count inactive file pages: the kernel reclaims them before they are missed.
        memory: memory.map(|bytes| bytes.saturating_sub(cached.unwrap_or(0))),
        cpu: cpu(cgroup),
        tasks: read("pids.current").and_then(|text| text.trim().parse().ok()),
    }
}

/// CPU time that `cgroup` has used, in microseconds.
pub(crate) fn cpu(cgroup: &Path) -> Option<u64> {
    let stat = fs::read_to_string(cgroup.join("cpu.stat")).ok()?;
    value(&stat, "usage_usec")
}

/// The value of `key` in lines of `KEY VALUE`.
fn value(text: &str, key: &str) -> Option<u64> {
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs
        .filter(|(name, _)| *name == key)
        .find_map(|(_, value)| value.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_cgroup() {
        let folder = std::env::temp_dir().join(format!("tare-usage-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        for (file, text) in [
            ("memory.current", "5000\n"),
            ("memory.stat", "anon 1000\ninactive_file 2000\n"),
            ("cpu.stat", "usage_usec 7\nuser_usec 5\n"),
        ] {
            fs::write(folder.join(file), text).unwrap();
        }
        let want = Usage {
            memory: Some(3000),
            cpu: Some(7),
            tasks: None,
        };
        assert_eq!(of(&folder), want);
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(of(&folder), Usage::default());
    }
}
