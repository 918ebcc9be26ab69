//! The memory that the kernel keeps free, and that PID 1 locks.

use nix::libc;
use nix::sys::mman::{MlockAllFlags, mlockall};
use std::fs;
use std::io;

const RESERVE: &str = "/proc/sys/vm/min_free_kbytes";

/// Releases what the kernel keeps free for transparent huge pages, which few programs request with `madvise(2)`: up
/// to a twentieth of a small machine's memory, and half as much again for its watermarks
/// (`set_recommended_min_free_kbytes`, mm/khugepaged.c).
///
/// # Errors
/// A file of `/proc` is not as expected, or cannot be written.
pub(crate) fn shrink_reserve() -> io::Result<()> {
    let has = number(&fs::read_to_string(RESERVE)?)?;
    let wants = reserve(total()? / 1024);
    if wants < has {
        fs::write(RESERVE, wants.to_string())?;
    }
    Ok(())
}

/// Locks this process in memory. Pages read before its cgroup existed are charged to the root cgroup, which
/// `memory.min` does not protect: PID 1 would wait for a thrashing disk to read them again, and die if the disk is
/// gone. Later mappings are locked when touched, because the allocator asks for more than it hands out.
///
/// # Errors
/// The kernel's.
pub(crate) fn lock() -> io::Result<()> {
    mlockall(MlockAllFlags::MCL_CURRENT)?;
    let when_touched = MlockAllFlags::from_bits_retain(libc::MCL_ONFAULT);
    Ok(mlockall(MlockAllFlags::MCL_FUTURE | when_touched)?)
}

/// The machine's memory in bytes.
///
/// # Errors
/// `/proc/meminfo` is not as expected, or cannot be read.
pub(crate) fn total() -> io::Result<u64> {
    amount("MemTotal:")
}

/// How many huge pages leave enough memory for everything else.
///
/// # Errors
/// `/proc/meminfo` is not as expected, or cannot be read.
pub(crate) fn most_huge_pages() -> io::Result<u64> {
    let page = amount("Hugepagesize:")?;
    Ok(besides(total()?) / page.max(1))
}

/// How much of `total` bytes may be reserved: the machine keeps half, or 2 GiB if that is less.
fn besides(total: u64) -> u64 {
    total - (total / 2).min(2 << 30)
}

/// The amount that the line of `/proc/meminfo` with this label has, in bytes.
fn amount(label: &str) -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let mut lines = text.lines();
    let amount = lines.find_map(|line| line.strip_prefix(label));
    Ok(number(amount.unwrap_or_default())? * 1024)
}

/// The first number in `text`.
fn number(text: &str) -> io::Result<u64> {
    let word = text.split_whitespace().next().unwrap_or_default();
    word.parse()
        .map_err(|_| io::Error::other(format!("no number: {word:?}")))
}

/// The reserve that suffices for `total`, both in KiB: the kernel's own rule without huge pages
/// (`calculate_min_free_kbytes`, mm/page_alloc.c), or a quarter of a per cent if that is more.
fn reserve(total: u64) -> u64 {
    (total * 16).isqrt().max(total / 400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserves_of_small_and_large_machines() {
        for (mebibytes, want) in [(256, 2048), (1024, 4096), (65_536, 167_772)] {
            assert_eq!(reserve(mebibytes << 10), want);
        }
    }

    #[test]
    fn what_may_be_reserved() {
        for (mebibytes, want) in [(512, 256), (2048, 1024), (65_536, 63_488)] {
            assert_eq!(besides(mebibytes << 20), want << 20);
        }
    }

    #[test]
    fn numbers() {
        assert_eq!(number("   1005076 kB\nMemFree: 1").unwrap(), 1_005_076);
        for bad in ["", "kB", "-1"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
