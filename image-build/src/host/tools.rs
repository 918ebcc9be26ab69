//! Which tools each kind of work needs, how their presence is detected, and which Debian package has them.

use std::env;
use std::path::{Path, PathBuf};

/// A kind of work, and with it the tools it needs on the building machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// Compiling the kernel.
    Kernel,
    /// Putting the disk image together.
    Image,
    /// Running it: QEMU, firmware, ssh.
    Qemu,
    /// Building the systems that the benchmark compares with.
    Bench,
}

/// How the presence of a tool is detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Probe {
    /// A program on the search path, or in an `sbin` that a user's path leaves out.
    Command(&'static str),
    /// A file, such as a C header or a firmware image.
    File(&'static str),
}

/// A tool and the Debian package it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tool {
    pub(crate) probe: Probe,
    pub(crate) package: &'static str,
}

const fn command(name: &'static str, package: &'static str) -> Tool {
    Tool {
        probe: Probe::Command(name),
        package,
    }
}

const fn file(path: &'static str, package: &'static str) -> Tool {
    Tool {
        probe: Probe::File(path),
        package,
    }
}

const KERNEL: &[Tool] = &[
    command("gcc", "build-essential"),
    command("make", "build-essential"),
    file("/usr/include/stdio.h", "build-essential"),
    command("bc", "bc"),
    command("bison", "bison"),
    command("flex", "flex"),
    file("/usr/include/gelf.h", "libelf-dev"),
    file("/usr/include/openssl/ssl.h", "libssl-dev"),
    command("depmod", "kmod"),
    command("lz4", "lz4"),
    command("xz", "xz-utils"),
    command("zstd", "zstd"),
];

// Tools that affect the image's bytes are not listed: the build brings its own (crate::tools).
const IMAGE: &[Tool] = &[command("qemu-img", "qemu-utils")];

const QEMU: &[Tool] = &[
    command("qemu-system-x86_64", "qemu-system-x86"),
    command("qemu-img", "qemu-utils"),
    file("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"),
    command("ssh", "openssh-client"),
    // For NoCloud seeds, and to inspect the disk of a machine that is off.
    command("mkfs.vfat", "dosfstools"),
    command("mcopy", "mtools"),
    command("xorriso", "xorriso"),
    command("e2fsck", "e2fsprogs"),
];

const BENCH: &[Tool] = &[
    command("mmdebstrap", "mmdebstrap"),
    command("newuidmap", "uidmap"), // for mmdebstrap without root
    command("zstd", "zstd"),
];

impl Group {
    pub(crate) fn tools(self) -> &'static [Tool] {
        match self {
            Self::Kernel => KERNEL,
            Self::Image => IMAGE,
            Self::Qemu => QEMU,
            Self::Bench => BENCH,
        }
    }
}

/// The packages of those tools that `is_present` does not find, sorted, each once.
pub(crate) fn missing_packages(
    groups: &[Group],
    is_present: impl Fn(Probe) -> bool,
) -> Vec<&'static str> {
    let tools = groups.iter().flat_map(|group| group.tools());
    let absent = tools.filter(|tool| !is_present(tool.probe));
    let mut packages: Vec<_> = absent.map(|tool| tool.package).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Whether this machine has the tool.
pub(crate) fn is_present(probe: Probe) -> bool {
    match probe {
        Probe::Command(name) => find_command(name).is_some(),
        Probe::File(path) => Path::new(path).exists(),
    }
}

/// Where `name` is installed; the `sbin` folders count even when the user's path lacks them.
pub fn find_command(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_machine_misses_nothing() {
        let all = [Group::Kernel, Group::Image, Group::Qemu, Group::Bench];
        assert_eq!(missing_packages(&all, |_| true), [""; 0]);
    }

    #[test]
    fn packages_are_named_once_and_in_order() {
        let lacks = |names: &'static [&str]| {
            move |probe| match probe {
                Probe::Command(name) | Probe::File(name) => !names.contains(&name),
            }
        };
        for (groups, names, want) in [
            (
                &[Group::Kernel][..],
                &["make", "gcc"][..],
                &["build-essential"][..],
            ),
            (&[Group::Kernel, Group::Bench], &["zstd"], &["zstd"]),
            (
                &[Group::Qemu],
                &["ssh", "qemu-img"],
                &["openssh-client", "qemu-utils"],
            ),
            (&[Group::Bench], &["qemu-img"], &[]),
        ] {
            assert_eq!(missing_packages(groups, lacks(names)), want);
        }
    }

    #[test]
    fn commands_are_found_on_the_path_and_in_sbin() {
        assert!(find_command("sh").is_some());
        assert_eq!(find_command("no-such-tool-of-tare"), None);
    }
}
