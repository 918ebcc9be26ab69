//! Settings of the kernel below `/proc/sys`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Ours, with the reason for each. A machine may change those that are not fixed (`tare_config`'s `Sysctl`).
const OURS: [(&str, &str); 13] = [
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
    // Elasticsearch, OpenSearch and SonarQube refuse to start with fewer.
    ("vm.max_map_count", "1048576"),
    // Connections that wait to be accepted, as programs ask for them.
    ("net.core.somaxconn", "4096"),
    // A port published at an address of the machine is there as soon as the address is.
    ("net.ipv4.ip_nonlocal_bind", "1"),
    ("net.ipv6.ip_nonlocal_bind", "1"),
];

/// Applies ours. Those that this kernel does not have are skipped.
///
/// # Errors
/// The kernel's first refusal; the others are applied anyway.
pub(crate) fn apply_ours() -> io::Result<()> {
    let applied = OURS.map(|(name, value)| match write(name, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io::Error::other(format!("{name}: {error}"))),
        Ok(()) => Ok(()),
    });
    applied.into_iter().collect()
}

/// Applies `settings`. Returns a sentence for each that the kernel refuses.
pub(crate) fn apply(settings: &BTreeMap<String, String>) -> Vec<String> {
    let refused = settings.iter().filter_map(|(name, value)| {
        let error = write(name, value).err()?;
        Some(format!("sysctl {name} = {value}: {error}"))
    });
    refused.collect()
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
