//! What the kernel and the boot loader know about the machine.

use super::request::Snapshot;
use crate::clock::since_boot;
use crate::effect::files::read_bounded;
use crate::effect::state;
use crate::paths::STATE;
use crate::timeline::micros;
use nix::sys::statvfs::{Statvfs, statvfs};
use std::path::Path;
use std::sync::OnceLock;
use tare_control::{Disk, GetBootTimeline, GetStatus, Health, Memory};

/// The boot loader's own variables (Boot Loader Interface).
const LOADER_VARIABLES: &str = "/sys/firmware/efi/efivars/Loader";
const LOADER_VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// Completes `known` with what the kernel reports.
pub(super) fn status(mut known: Snapshot) -> GetStatus {
    // The figures are in the kernel's memory: a hanging disk does not delay the answer.
    let figures = known.volatile.and_then(|_| statvfs(STATE).ok());
    let full = figures.as_ref().and_then(|figures| lack(&space(figures)));
    if full.is_some() && known.health == Health::Ready {
        known.health = Health::Degraded;
    }
    known.problems.extend(full);
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
        state: figures.zip(known.volatile).map(disk),
        configuration: known.configuration,
        set_aside: known.set_aside,
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

/// The state, and what services can still use of it: some is kept for root.
#[derive(Debug, Clone, Copy)]
struct Space {
    /// In bytes.
    size: u64,
    available: u64,
    /// Files, of which some file systems have no fixed number; it is 0 there.
    files: u64,
    files_available: u64,
}

fn space(figures: &Statvfs) -> Space {
    let unit = figures.fragment_size();
    Space {
        size: figures.blocks() * unit,
        available: figures.blocks_available() * unit,
        files: figures.files(),
        files_available: figures.files_available(),
    }
}

fn disk((figures, volatile): (Statvfs, bool)) -> Disk {
    let Space {
        size, available, ..
    } = space(&figures);
    Disk {
        size,
        available,
        volatile,
    }
}

/// With less room than this, in bytes, or a hundredth of the whole, services begin to fail.
const LEAST_ROOM: u64 = 16 << 20;

/// What the state has too little of, if it does.
fn lack(space: &Space) -> Option<String> {
    if space.available < LEAST_ROOM.max(space.size / 100) {
        let left = space.available >> 20;
        return Some(format!("the state is full: {left} MiB are left"));
    }
    let left = space.files_available;
    (left < space.files / 100).then(|| format!("the state is full: {left} inodes are left"))
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
    fn a_full_state_is_named() {
        let mib = |size: u64, available: u64| (size << 20, available << 20);
        for ((size, available), (files, files_available), want) in [
            (mib(1024, 16), (0, 0), None),
            (
                mib(1024, 15),
                (0, 0),
                Some("the state is full: 15 MiB are left"),
            ),
            (mib(8192, 82), (0, 0), None),
            (
                mib(8192, 81),
                (0, 0),
                Some("the state is full: 81 MiB are left"),
            ),
            (mib(1024, 512), (65536, 655), None),
            (
                mib(1024, 512),
                (65536, 654),
                Some("the state is full: 654 inodes are left"),
            ),
        ] {
            let space = Space {
                size,
                available,
                files,
                files_available,
            };
            assert_eq!(lack(&space).as_deref(), want, "{space:?}");
        }
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
