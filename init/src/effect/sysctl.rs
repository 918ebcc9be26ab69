//! Settings of the kernel below `/proc/sys`.

use crate::effect::memory;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Ours, with the reason for each. A machine may change those that are not fixed (`tare_config`'s `Sysctl`).
const OURS: [(&str, &str); 16] = [
    // What others put into a shared folder with a sticky bit is not followed, linked or opened.
    ("fs.protected_symlinks", "1"),
    ("fs.protected_hardlinks", "1"),
    ("fs.protected_fifos", "1"),
    ("fs.protected_regular", "2"),
    // Addresses of the kernel help an attacker.
    ("kernel.kptr_restrict", "1"),
    // A process may trace its children only.
    ("kernel.yama.ptrace_scope", "1"),
    ("net.core.bpf_jit_harden", "1"),
    // Terminals do not load modules.
    ("dev.tty.ldisc_autoload", "0"),
    // As many as a 64-bit kernel has.
    ("kernel.pid_max", "4194304"),
    // Otherwise the kernel, after it had to break up a large free block, keeps 4 MiB more free for a while. A machine with
    // 256 MiB then kills a process although 140 MiB hold files that could be read again.
    ("vm.watermark_boost_factor", "0"),
    // All that the kernel can number (`NR_UNIX98_PTY_MAX`). The 4096 of its default are those of the whole machine, so
    // that one container could keep ssh from giving a login a terminal.
    ("kernel.pty.max", "1048576"),
    // Elasticsearch, OpenSearch and SonarQube refuse to start with fewer.
    ("vm.max_map_count", "1048576"),
    // Connections that wait to be accepted, as programs ask for them.
    ("net.core.somaxconn", "4096"),
    // A port published at an address of the machine is there as soon as the address is.
    ("net.ipv4.ip_nonlocal_bind", "1"),
    ("net.ipv6.ip_nonlocal_bind", "1"),
    // A tracked connection without a packet for a day is over. The kernel's five days keep dead ones in its table.
    (
        "net.netfilter.nf_conntrack_tcp_timeout_established",
        "86400",
    ),
];

/// The connections that the kernel tracks at most, and the lists that it keeps them in. The host and all containers on
/// its bridges share one table; while it is full, the packets of new connections are dropped.
const CONNECTIONS: [&str; 2] = [
    "net.netfilter.nf_conntrack_buckets",
    "net.netfilter.nf_conntrack_max",
];

/// Applies ours. Those that this kernel does not have are skipped.
///
/// # Errors
/// The kernel's first refusal; the others are applied anyway.
pub(crate) fn apply_ours() -> io::Result<()> {
    let total = memory::total();
    let connections = total.map(|total| connections(total).to_string());
    let fixed = OURS.iter().map(|(name, value)| apply_one(name, value));
    let sized = CONNECTIONS.map(|name| match &connections {
        Ok(connections) => apply_one(name, connections),
        Err(error) => Err(io::Error::other(format!("{name}: {error}"))),
    });
    let applied: Vec<_> = fixed.chain(sized).collect();
    applied.into_iter().collect()
}

fn apply_one(name: &str, value: &str) -> io::Result<()> {
    match write(name, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::other(format!("{name}: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// How many connections may be tracked on a machine with `total` bytes of memory: one for each 16 KiB, so that a full
/// table takes 2.5 % of memory (some 400 bytes each, which no cgroup is charged for). The kernel's default is an eighth
/// of that below 1 GiB and never more than 262144 (`nf_conntrack_init_start`, `net/netfilter/nf_conntrack_core.c`).
fn connections(total: u64) -> u64 {
    (total / (16 << 10)).clamp(8192, 1 << 22)
}

/// Huge pages: reserved, by two names, and those that programs may add. Nothing else can use their memory, and
/// `memory.max` does not count it, so too many would keep the machine from starting.
const HUGE: [&str; 3] = [
    "vm.nr_hugepages",
    "vm.nr_hugepages_mempolicy",
    "vm.nr_overcommit_hugepages",
];

/// What the kernel has now where `settings` say something. What cannot be read is left out.
pub(crate) fn now(settings: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let value = |name: &String| {
        let value = fs::read_to_string(path(name)).ok()?;
        Some((name.clone(), value.trim_end().to_owned()))
    };
    settings.keys().filter_map(value).collect()
}

/// Applies `settings`. Returns a sentence for each that is refused.
pub(crate) fn apply(settings: &BTreeMap<String, String>) -> Vec<String> {
    let no_huge_pages = refuse_huge_pages(settings, memory::most_huge_pages);
    let refused = settings.iter().filter_map(|(name, value)| {
        let reason = match &no_huge_pages {
            Some(reason) if HUGE.contains(&name.as_str()) => reason.clone(),
            _ => write(name, value).err()?.to_string(),
        };
        Some(format!("sysctl {name} = {value}: {reason}"))
    });
    refused.collect()
}

/// Why the huge pages of `settings`, if they have any, are too many; there may be `most` in all.
fn refuse_huge_pages(
    settings: &BTreeMap<String, String>,
    most: impl FnOnce() -> io::Result<u64>,
) -> Option<String> {
    let counts = HUGE.iter().filter_map(|name| settings.get(*name));
    let counts = counts.map(|count| count.parse().unwrap_or(u64::MAX));
    let wanted = counts.reduce(u64::saturating_add)?;
    match most() {
        Ok(most) if wanted <= most => None,
        Ok(most) => Some(format!(
            "at most {most} huge pages leave enough memory for the machine"
        )),
        Err(error) => Some(error.to_string()),
    }
}

fn write(name: &str, value: &str) -> io::Result<()> {
    fs::write(path(name), value)
}

fn path(name: &str) -> PathBuf {
    let parts = name.split('.').map(|part| part.replace('/', "."));
    parts.fold(Path::new("/proc/sys").to_owned(), |path, part| {
        path.join(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn huge_pages_leave_memory() {
        let too_many = Some("at most 512 huge pages leave enough memory for the machine");
        for (settings, want) in [
            (&[("vm.swappiness", "9999")][..], None),
            (&[("vm.nr_hugepages", "512")], None),
            (&[("vm.nr_hugepages", "513")], too_many),
            (&[("vm.nr_overcommit_hugepages", "999999")], too_many),
            (
                &[
                    ("vm.nr_hugepages", "0"),
                    ("vm.nr_overcommit_hugepages", "512"),
                ],
                None,
            ),
            (
                &[
                    ("vm.nr_hugepages", "1"),
                    ("vm.nr_overcommit_hugepages", "512"),
                ],
                too_many,
            ),
            (&[("vm.nr_hugepages_mempolicy", "0xfffff")], too_many),
            (&[("vm.nr_hugepages", "18446744073709551615")], too_many),
        ] {
            let owned = settings
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_string()));
            let found = refuse_huge_pages(&owned.collect(), || Ok(512));
            assert_eq!(found.as_deref(), want, "{settings:?}");
        }
    }

    #[test]
    fn connections_follow_memory() {
        for (mebibytes, want) in [
            (64, 8192),
            (256, 16_384),
            (1024, 65_536),
            (16_384, 1_048_576),
            (1 << 20, 4_194_304),
        ] {
            assert_eq!(connections(mebibytes << 20), want, "{mebibytes}");
        }
    }

    #[test]
    fn names_are_paths() {
        for (name, want) in [
            ("vm.max_map_count", "/proc/sys/vm/max_map_count"),
            (
                "net.ipv4.conf.eth0/1.forwarding",
                "/proc/sys/net/ipv4/conf/eth0.1/forwarding",
            ),
        ] {
            assert_eq!(path(name), Path::new(want));
        }
    }
}
