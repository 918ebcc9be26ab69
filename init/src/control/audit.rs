//! What a service may do, as the kernel reports it for its main process (`proc_pid_status(5)`,
//! `proc_pid_mountinfo(5)`, `namespaces(7)`).

mod mounts;
mod status;

use super::request::Process;
use super::score;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tare_container::cgroup;
use tare_control::{Audit, Limits, Rights};

/// Every kind of namespace that 6.12 has, except those that apply only to future children of a process.
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Reads what `process` may do.
pub(super) fn audit(process: Process) -> Audit {
    let rights = process.pid.and_then(|pid| {
        let rights = rights(Path::new(&format!("/proc/{pid}")), &process.cgroup);
        rights
            .map_err(|error| log::debug!("audit of {}: {error}", process.service))
            .ok()
    });
    let reasons = rights.as_ref().map(score::reasons).unwrap_or_default();
    Audit {
        name: process.service,
        score: rights.is_some().then(|| score::total(&reasons)),
        reasons: reasons.iter().map(ToString::to_string).collect(),
        rights,
    }
}

/// # Errors
/// The process has ended, or its pid belongs to another service by now.
fn rights(process: &Path, group: &Path) -> io::Result<Rights> {
    let read = |file: &str| fs::read_to_string(process.join(file));
    let mut rights = status::rights(&read("status")?);
    rights.host_namespaces = shared_namespaces(process);
    let mounts = mounts::writable(&read("mountinfo")?);
    (rights.writable_root, rights.writable_mounts) = (mounts.root, mounts.others);
    rights.oom_score_adj = read("oom_score_adj")?.trim().parse().unwrap_or(0);
    rights.limits = limits(group);
    // Checked last: the process was the service's until here.
    match belongs_to(&read("cgroup")?, group) {
        true => Ok(rights),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Whether `membership`, of `/proc/PID/cgroup`, is in `group` or below.
fn belongs_to(membership: &str, group: &Path) -> bool {
    let path = membership.lines().find_map(|line| line.strip_prefix("0::"));
    let absolute = path.map(|path| PathBuf::from([cgroup::ROOT, path].concat()));
    absolute.is_some_and(|path| path.starts_with(group))
}

/// The namespaces that `process` shares with us.
fn shared_namespaces(process: &Path) -> Vec<String> {
    let is_ours = |name: &&str| {
        let theirs = fs::read_link(process.join("ns").join(name));
        let ours = fs::read_link(Path::new("/proc/self/ns").join(name));
        matches!((theirs, ours), (Ok(theirs), Ok(ours)) if theirs == ours)
    };
    let shared = NAMESPACES.into_iter().filter(is_ours);
    shared.map(ToOwned::to_owned).collect()
}

fn limits(group: &Path) -> Limits {
    let read = |file: &str| fs::read_to_string(group.join(file)).unwrap_or_default();
    // `max` is not a number, and means no limit.
    let number = |file: &str| read(file).trim().parse().ok();
    Limits {
        memory_max: number("memory.max"),
        memory_min: number("memory.min").unwrap_or(0),
        pids_max: number("pids.max"),
        cpu_weight: number("cpu.weight").unwrap_or(100),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_that_belong_to_a_service() {
        for (membership, want) in [
            ("0::/services/ssh\n", true),
            ("1:cpu:/x\n0::/services/ssh/sub\n", true),
            ("0::/services/ssh2\n", false),
            ("0::/\n", false),
            ("", false),
        ] {
            let group = Path::new("/sys/fs/cgroup/services/ssh");
            assert_eq!(belongs_to(membership, group), want, "{membership}");
        }
    }

    #[test]
    fn we_share_our_own_namespaces() {
        let shared = shared_namespaces(Path::new("/proc/self"));
        assert_eq!(shared, NAMESPACES);
        assert_eq!(shared_namespaces(Path::new("/proc/none")), [""; 0]);
    }

    #[test]
    fn what_does_not_run_has_no_rights() {
        let process = |pid| Process {
            service: "a".to_owned(),
            pid,
            cgroup: "/sys/fs/cgroup/services/a".into(),
        };
        let want = Audit {
            name: "a".to_owned(),
            rights: None,
            score: None,
            reasons: Vec::new(),
        };
        assert_eq!(audit(process(None)), want);
        // A process that belongs to no service.
        let ours = i32::try_from(std::process::id()).unwrap();
        assert_eq!(audit(process(Some(ours))), want);
    }
}
