//! What the kernel and the boot loader know about the machine.

use super::request::Snapshot;
use crate::clock::since_boot;
use crate::effect::files::read_bounded;
use crate::effect::state;
use crate::paths::STATE;
use crate::timeline::micros;
use nix::sys::statvfs::statvfs;
use std::path::Path;
use std::sync::OnceLock;
use tare_control::{Disk, GetBootTimeline, GetStatus, Memory};

/// The boot loader's own variables (Boot Loader Interface).
const LOADER_VARIABLES: &str = "/sys/firmware/efi/efivars/Loader";
const LOADER_VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Completes `known` with what the kernel reports.
pub(super) fn status(known: Snapshot) -> GetStatus {
    GetStatus {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: line("/proc/sys/kernel/osrelease"),
        hostname: line("/proc/sys/kernel/hostname"),
        machine_id: known.machine_id,
        boot_id: line("/proc/sys/kernel/random/boot_id"),
        slot: state::system_slot(),
        health: known.health,
        problems: known.problems,
        uptime: micros(since_boot()),
        ready_at: known.ready_at,
        addresses: known.addresses,
        memory: memory(&line("/proc/meminfo")),
        state: known.volatile.and_then(disk),
    }
}

/// The text of one of the kernel's files; empty if it cannot be read.
fn line(path: &str) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.trim().to_owned()
}

fn memory(meminfo: &str) -> Memory {
    Memory {
        total: kibibytes(meminfo, "MemTotal:") << 10,
        available: kibibytes(meminfo, "MemAvailable:") << 10,
    }
}

/// A figure of `/proc/meminfo`, in KiB (`proc_meminfo(5)`).
fn kibibytes(meminfo: &str, key: &str) -> u64 {
    let lines = meminfo.lines().filter_map(|line| line.strip_prefix(key));
    lines
        .filter_map(|rest| rest.split_whitespace().next())
        .find_map(|figure| figure.parse().ok())
        .unwrap_or(0)
}

fn disk(volatile: bool) -> Option<Disk> {
    let figures = statvfs(STATE).ok()?;
    let unit = figures.fragment_size();
    Some(Disk {
        size: figures.blocks() * unit,
        available: figures.blocks_available() * unit,
        volatile,
    })
}

/// Adds what came before the kernel to `timeline`. Reads it once: each read of an EFI variable calls the firmware.
pub(super) fn boot_loader(mut timeline: GetBootTimeline) -> GetBootTimeline {
    static TIMES: OnceLock<[Option<u64>; 2]> = OnceLock::new();
    let read = || ["TimeInitUSec", "TimeExecUSec"].map(loader_time);
    let [firmware, kernel] = *TIMES.get_or_init(read);
    timeline.firmware = firmware;
    let both = kernel.zip(firmware);
    timeline.loader = both.and_then(|(kernel, firmware)| kernel.checked_sub(firmware));
    timeline
}

/// Microseconds since power on that the boot loader has recorded under `name`.
fn loader_time(name: &str) -> Option<u64> {
    let path = format!("{LOADER_VARIABLES}{name}-{LOADER_VENDOR}");
    decimal(&read_bounded(Path::new(&path), 64).ok()?)
}

/// Parses a number from efivarfs: four bytes of attributes, then UTF-16 with or without a terminator.
fn decimal(variable: &[u8]) -> Option<u64> {
    let units = variable.get(4..)?.chunks_exact(2);
    let text: Vec<u16> = units
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    let text = String::from_utf16(&text).ok()?;
    text.trim_end_matches('\0').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_proc_meminfo() {
        let text =
            "MemTotal:         496572 kB\nMemFree:          123 kB\nMemAvailable:     400000 kB";
        let want = Memory {
            total: 508_489_728,
            available: 409_600_000,
        };
        assert_eq!(memory(text), want);
        let unknown = Memory {
            total: 0,
            available: 0,
        };
        assert_eq!(memory(""), unknown);
    }

    #[test]
    fn a_number_of_the_boot_loader() {
        for (variable, want) in [
            (&b"\x06\0\0\x004\x002\0\0\0"[..], Some(42)),
            (b"\x06\0\0\x004\x002\0", Some(42)),
            (b"\x06\0\0\0x\0", None),
            (b"\x06", None),
        ] {
            assert_eq!(decimal(variable), want);
        }
    }
}
