//! The clock on which the events of a boot are measured.

use std::time::Duration;

/// How long the kernel has run, sleep included (`CLOCK_BOOTTIME`).
pub(crate) fn since_boot() -> Duration {
    let clock = nix::time::ClockId::CLOCK_BOOTTIME;
    clock.now().map(Duration::from).unwrap_or_default()
}
