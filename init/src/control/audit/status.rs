//! `/proc/PID/status`.

use std::collections::BTreeMap;
use tare_config::service::CAPABILITIES;
use tare_control::{Capabilities, Limits, Rights};

/// The rights that are in `/proc/PID/status`; all others are left empty.
pub(super) fn rights(text: &str) -> Rights {
    let status = Status::of(text);
    Rights {
        // Real, effective, saved, file system: the effective one counts.
        uid: status.numbers("Uid").get(1).copied().unwrap_or(0),
        gid: status.numbers("Gid").get(1).copied().unwrap_or(0),
        groups: status.numbers("Groups"),
        capabilities: Capabilities {
            effective: status.capabilities("CapEff"),
            permitted: status.capabilities("CapPrm"),
            inheritable: status.capabilities("CapInh"),
            bounding: status.capabilities("CapBnd"),
            ambient: status.capabilities("CapAmb"),
        },
        no_new_privileges: status.text("NoNewPrivs") == "1",
        seccomp: seccomp(status.text("Seccomp")).to_owned(),
        host_namespaces: Vec::new(),
        writable_root: false,
        writable_mounts: Vec::new(),
        limits: Limits {
            memory_max: None,
            memory_min: 0,
            pids_max: None,
            cpu_weight: 100,
        },
        oom_score_adj: 0,
    }
}

/// The mode by its number (`linux/seccomp.h`); an unknown one counts as `disabled`.
fn seccomp(mode: &str) -> &'static str {
    match mode {
        "1" => "strict",
        "2" => "filter",
        _ => "disabled",
    }
}

struct Status<'a>(BTreeMap<&'a str, &'a str>);

impl<'a> Status<'a> {
    fn of(text: &'a str) -> Self {
        let pairs = text.lines().filter_map(|line| line.split_once(':'));
        Self(pairs.map(|(key, value)| (key, value.trim())).collect())
    }

    fn text(&self, key: &str) -> &'a str {
        self.0.get(key).copied().unwrap_or_default()
    }

    fn numbers(&self, key: &str) -> Vec<u32> {
        let words = self.text(key).split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    }

    /// The names of the bits that are set; a bit without a name gets its number.
    fn capabilities(&self, key: &str) -> Vec<String> {
        let mask = u64::from_str_radix(self.text(key), 16).unwrap_or(0);
        let set = (0..64).filter(|bit| mask & (1 << bit) != 0);
        set.map(capability).collect()
    }
}

fn capability(number: usize) -> String {
    match CAPABILITIES.get(number) {
        Some(name) => (*name).to_owned(),
        None => format!("CAP_{number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Name:\tsshd\nUid:\t0\t103\t0\t0\nGid:\t5\t6\t7\t8\nGroups:\t27 988 \n\
        CapInh:\t0000000000000000\nCapPrm:\t00000000000000c0\nCapEff:\t0000000000000080\n\
        CapBnd:\t80000000000000c0\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n\
        Seccomp_filters:\t1\n";

    #[test]
    fn rights_of_a_status() {
        let got = rights(TEXT);
        assert_eq!((got.uid, got.gid, got.groups), (103, 6, vec![27, 988]));
        assert!(got.no_new_privileges);
        assert_eq!(got.seccomp, "filter");
        let capabilities = got.capabilities;
        assert_eq!(capabilities.permitted, ["CAP_SETGID", "CAP_SETUID"]);
        assert_eq!(capabilities.effective, ["CAP_SETUID"]);
        assert_eq!(
            capabilities.bounding,
            ["CAP_SETGID", "CAP_SETUID", "CAP_63"]
        );
        assert_eq!(capabilities.ambient, [""; 0]);
    }

    #[test]
    fn what_the_kernel_does_not_say_is_no_protection() {
        let got = rights("");
        assert!(!got.no_new_privileges);
        assert_eq!(got.seccomp, "disabled");
    }
}
