//! The accelerator that QEMU gets: hardware virtualisation where it truly works, otherwise emulation.

use std::fs::{self, File};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accel {
    /// KVM if it works here, otherwise emulation.
    #[default]
    Auto,
    /// KVM, whatever the checks of [`Accel::Auto`] say.
    Kvm,
    /// Emulation.
    Tcg,
}

/// What QEMU will use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceleration {
    /// Hardware virtualisation.
    Kvm,
    /// Emulation.
    Tcg {
        /// Whether this QEMU emulates `cmpxchg16b` correctly. 7.2 does not (a guest kernel that uses it for its slab
        /// allocator corrupts memory); 8.1 and newer do.
        cx16: bool,
        /// Whether each processor of the machine has its own thread.
        parallel: bool,
    },
}

/// The oldest QEMU whose `cmpxchg16b` is trusted.
const GOOD_CX16: (u32, u32) = (8, 1);

impl Accel {
    /// Checks the host, and QEMU's version for emulation. `parallel` is only for emulation, too.
    ///
    /// # Errors
    /// QEMU cannot be started or does not report its version.
    pub fn resolve(self, parallel: bool) -> Result<Acceleration> {
        match self {
            Self::Kvm => Ok(Acceleration::Kvm),
            Self::Auto if kvm_works() => Ok(Acceleration::Kvm),
            Self::Auto | Self::Tcg => Ok(Acceleration::Tcg {
                cx16: qemu_version()? >= GOOD_CX16,
                parallel,
            }),
        }
    }
}

impl Acceleration {
    /// How much longer things may take than on a real CPU; deadlines are multiplied by this.
    pub fn slowness(self) -> u32 {
        match self {
            Self::Kvm => 1,
            Self::Tcg { .. } => 6,
        }
    }

    pub(crate) fn argv(self) -> [&'static str; 4] {
        let (accel, cpu) = match self {
            Self::Kvm => ("kvm", "host"),
            Self::Tcg { cx16, parallel } => (
                if parallel {
                    "tcg,thread=multi"
                } else {
                    "tcg,thread=single"
                },
                if cx16 { "max" } else { "max,-cx16" },
            ),
        };
        ["-accel", accel, "-cpu", cpu]
    }
}

/// Whether KVM runs guests here.
///
/// Opening `/dev/kvm` and even creating a VM is not enough: on nested hosts that hide VMX and SVM from
/// their guests both can succeed, and then the guest's first instruction never retires and QEMU hangs for
/// ever. The CPU flag tells these hosts apart.
fn kvm_works() -> bool {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    has_virtualisation(&cpuinfo) && can_create_vm()
}

/// Whether a CPU in `/proc/cpuinfo` has Intel's or AMD's extension.
fn has_virtualisation(cpuinfo: &str) -> bool {
    let flags = cpuinfo
        .lines()
        .filter_map(|line| line.strip_prefix("flags"));
    flags
        .flat_map(str::split_whitespace)
        .any(|flag| flag == "vmx" || flag == "svm")
}

nix::ioctl_write_int_bad!(
    /// `KVM_CREATE_VM` of linux/kvm.h; the argument is the machine type, 0 the default.
    kvm_create_vm,
    nix::request_code_none!(0xAE, 0x01)
);

fn can_create_vm() -> bool {
    let Ok(kvm) = File::options().read(true).write(true).open("/dev/kvm") else {
        return false;
    };
    // SAFETY: `kvm` is open for the whole call, and the request takes an integer, no pointer.
    let Ok(vm) = (unsafe { kvm_create_vm(kvm.as_raw_fd(), 0) }) else {
        return false;
    };
    // SAFETY: the successful call returned a new descriptor that nothing else owns; it is closed here.
    drop(unsafe { OwnedFd::from_raw_fd(vm) });
    true
}

fn qemu_version() -> Result<(u32, u32)> {
    let output = Command::new(crate::argv::QEMU)
        .arg("--version")
        .output()
        .with_context(|| format!("start {} --version", crate::argv::QEMU))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse_version(&text) {
        Some(version) => Ok(version),
        None => bail!(
            "no version in what {} --version says: {text}",
            crate::argv::QEMU
        ),
    }
}

/// `QEMU emulator version 10.0.2 (Debian ...)` -> (10, 0)
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("version ")?;
    let mut numbers = rest.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, want) in [
            (
                "QEMU emulator version 7.2.19 (Debian 1:7.2+dfsg-7)",
                Some((7, 2)),
            ),
            (
                "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)\nCopyright",
                Some((10, 0)),
            ),
            ("hello", None),
        ] {
            assert_eq!(parse_version(text), want, "{text}");
        }
    }

    #[test]
    fn cpu_flags() {
        for (cpuinfo, want) in [
            ("flags\t\t: fpu vmx sse\n", true),
            ("model name\t: a\nflags\t\t: fpu svm\n", true),
            ("flags\t\t: fpu sse vmx_like\n", false),
            ("vmx flags\t: ept\n", false),
            ("", false),
        ] {
            assert_eq!(has_virtualisation(cpuinfo), want, "{cpuinfo}");
        }
    }

    #[test]
    fn old_emulation_hides_cmpxchg16b() {
        for (cx16, want) in [(false, "max,-cx16"), (true, "max")] {
            let parallel = true;
            assert_eq!(Acceleration::Tcg { cx16, parallel }.argv()[3], want);
        }
    }
}
