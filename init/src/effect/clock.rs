//! The kernel's clock.

use crate::clock::since_boot;
use nix::libc;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};
use std::fs;
use std::io;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// What the clock showed when the kernel started, had [`reach_image`] been right; not set if it left the clock alone.
static GUESS: OnceLock<SystemTime> = OnceLock::new();
/// A clock that is this close to the guess was not set since.
const CLOSE: Duration = Duration::from_secs(60);

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
        let _ = GUESS.set(image - since_boot());
    }
    Ok(is_behind)
}

/// Whether the clock still shows what [`reach_image`] made up.
pub(crate) fn is_guess() -> bool {
    let start = SystemTime::now() - since_boot();
    let is_close = |guess| is_close(start, guess);
    GUESS.get().copied().is_some_and(is_close) && !is_synced()
}

fn is_close(one: SystemTime, other: SystemTime) -> bool {
    let between = one.duration_since(other);
    between.unwrap_or_else(|error| error.duration()) < CLOSE
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_far_from_the_guess() {
        let guess = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (seconds, want) in [(0, true), (59, true), (60, false), (3600, false)] {
            let apart = Duration::from_secs(seconds);
            assert_eq!(is_close(guess + apart, guess), want, "{seconds} later");
            assert_eq!(is_close(guess - apart, guess), want, "{seconds} earlier");
        }
    }
}
