//! The kernel's clock.

use nix::libc;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs;
use std::io;
use std::time::SystemTime;

/// Sets the clock to the time of the image's files if it is behind, as on a machine without a battery, so that
/// certificates are valid. Returns whether it was set.
///
/// # Errors
/// The kernel's.
pub(crate) fn reach_image() -> io::Result<bool> {
    let image = fs::metadata("/")?.modified()?;
    let is_behind = SystemTime::now() < image;
    if is_behind {
        let since_epoch = image.duration_since(SystemTime::UNIX_EPOCH);
        let time = TimeSpec::from_duration(since_epoch.unwrap_or_default());
        clock_settime(ClockId::CLOCK_REALTIME, time)?;
    }
    Ok(is_behind)
}

/// Whether the kernel's clock follows a time source (`adjtimex(2)`, `STA_UNSYNC`). chronyd tells the kernel when it
/// does (`rtcsync`); the kernel revokes this when the clock is no longer corrected.
pub(crate) fn is_synced() -> bool {
    // SAFETY: all zeroes is a valid `timex`; mode 0 changes nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes to `timex` alone, which outlives the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    state >= 0 && timex.status & libc::STA_UNSYNC == 0
}
