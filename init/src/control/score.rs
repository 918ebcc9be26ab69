//! How much a service may do, as one number: 0 is fully isolated, 100 is the host itself.
//!
//! The points are a convention, documented in `docs/tare-command.md`; their purpose is that a new right changes the
//! number.

use std::fmt;
use tare_control::Rights;

/// A process with one of these can get all others: load code into the kernel, read or write any memory, disk or
/// process.
const AS_GOOD_AS_ROOT: [&str; 9] = [
    "CAP_BPF",
    "CAP_DAC_READ_SEARCH",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_SYS_ADMIN",
    "CAP_SYS_MODULE",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
];
const POINTS_AS_GOOD_AS_ROOT: u32 = 5;

/// Points for each namespace that is the host's. All services use the host's clocks, so `time` counts for nothing.
const NAMESPACES: [(&str, u32); 7] = [
    ("mnt", 20),
    ("net", 5),
    ("pid", 5),
    ("user", 3),
    ("cgroup", 2),
    ("ipc", 2),
    ("uts", 1),
];

/// The most points for writable mounts, one each.
const MOST_MOUNTS: usize = 5;
const MOST: u32 = 100;

/// A part of the score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    points: u32,
    text: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>2} {}", self.points, self.text)
    }
}

/// The score.
pub(super) fn total(reasons: &[Reason]) -> u32 {
    let sum: u32 = reasons.iter().map(|reason| reason.points).sum();
    sum.min(MOST)
}

/// The parts of the score of `rights`, the heaviest first.
pub(super) fn reasons(rights: &Rights) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = capabilities(rights)
        .into_iter()
        .chain(namespaces(rights))
        .chain(mounts(rights))
        .chain(flags(rights))
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.points));
    reasons
}

fn reason(points: u32, text: impl Into<String>) -> Reason {
    let text = text.into();
    Reason { points, text }
}

/// The capabilities that it has, or that a setuid program could give it.
fn capabilities(rights: &Rights) -> Option<Reason> {
    let sets = &rights.capabilities;
    let set = match rights.no_new_privileges {
        true => &sets.permitted,
        false => &sets.bounding,
    };
    let points = |name: &String| match AS_GOOD_AS_ROOT.contains(&name.as_str()) {
        true => POINTS_AS_GOOD_AS_ROOT,
        false => 1,
    };
    let text = match set.len() {
        1 => "1 capability".to_owned(),
        count => format!("{count} capabilities"),
    };
    (!set.is_empty()).then(|| reason(set.iter().map(points).sum(), text))
}

fn namespaces(rights: &Rights) -> impl Iterator<Item = Reason> {
    let shared = |name: &str| rights.host_namespaces.iter().any(|shared| shared == name);
    let points = NAMESPACES.into_iter().filter(move |(name, _)| shared(name));
    points.map(|(name, points)| reason(points, format!("the host's {name} namespace")))
}

fn mounts(rights: &Rights) -> Option<Reason> {
    let count = rights.writable_mounts.len();
    let points = u32::try_from(count.min(MOST_MOUNTS)).unwrap_or(0);
    let text = match count {
        1 => "1 writable mount".to_owned(),
        _ => format!("{count} writable mounts"),
    };
    (count > 0).then(|| reason(points, text))
}

fn flags(rights: &Rights) -> impl Iterator<Item = Reason> {
    let flags = [
        (rights.seccomp == "disabled", 10, "no seccomp filter"),
        (!rights.no_new_privileges, 5, "setuid programs work"),
        (rights.writable_root, 5, "a writable root file system"),
        (rights.uid == 0, 3, "runs as root"),
        (rights.limits.memory_max.is_none(), 2, "no memory limit"),
        (rights.limits.pids_max.is_none(), 2, "no limit of threads"),
    ];
    let set = flags.into_iter().filter(|(is_set, _, _)| *is_set);
    set.map(|(_, points, text)| reason(points, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tare_control::{Capabilities, Limits, WritableMount};

    fn shut_in() -> Rights {
        Rights {
            uid: 1000,
            gid: 1000,
            groups: vec![],
            capabilities: Capabilities::default(),
            no_new_privileges: true,
            seccomp: "filter".to_owned(),
            host_namespaces: vec!["time".to_owned()],
            writable_root: false,
            writable_mounts: vec![],
            limits: Limits {
                memory_max: Some(1),
                memory_min: 0,
                pids_max: Some(1),
                cpu_weight: 100,
            },
            oom_score_adj: 0,
        }
    }

    fn score(change: impl FnOnce(&mut Rights)) -> (u32, Vec<String>) {
        let mut rights = shut_in();
        change(&mut rights);
        let reasons = reasons(&rights);
        (
            total(&reasons),
            reasons.iter().map(Reason::to_string).collect(),
        )
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_right_moves_the_score() {
        let mount = || WritableMount {
            target: "/x".to_owned(),
            fstype: "tmpfs".to_owned(),
            root: "/".to_owned(),
        };
        assert_eq!(score(|_| ()), (0, vec![]));
        let (points, text) = score(|rights| rights.seccomp = "disabled".to_owned());
        assert_eq!((points, text), (10, names(&["10 no seccomp filter"])));
        let (points, text) = score(|rights| {
            rights.uid = 0;
            rights.host_namespaces = names(&["net", "pid"]);
            rights.capabilities.permitted = names(&["CAP_CHOWN", "CAP_SYS_ADMIN"]);
            rights.writable_mounts = vec![mount()];
        });
        let want = [
            " 6 2 capabilities",
            " 5 the host's net namespace",
            " 5 the host's pid namespace",
            " 3 runs as root",
            " 1 1 writable mount",
        ];
        assert_eq!((points, text), (20, names(&want)));
    }

    #[test]
    fn capabilities_count_that_setuid_programs_could_give() {
        let (points, text) = score(|rights| {
            rights.no_new_privileges = false;
            rights.capabilities.bounding = names(&["CAP_CHOWN"]);
        });
        let want = [" 5 setuid programs work", " 1 1 capability"];
        assert_eq!((points, text), (6, names(&want)));
    }

    #[test]
    fn the_host_itself_has_a_hundred() {
        let (points, _) = score(|rights| {
            let all = tare_config::service::CAPABILITIES;
            rights.capabilities.permitted = names(&all);
            rights.host_namespaces = NAMESPACES.map(|(name, _)| name.to_owned()).to_vec();
            rights.writable_root = true;
        });
        assert_eq!(points, 100);
    }
}
