//! Kernel timers (timerfd_create(2)).

use super::readable::until_readable;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// A timer that is readable when the clock shows `seconds` since 1970, or when the clock is set.
pub(crate) fn at(seconds: i64) -> nix::Result<OwnedFd> {
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    timer(ClockId::CLOCK_REALTIME, TimeSpec::new(seconds, 0), flags)
}

/// Like tokio's `sleep`, but with a single wake-up: tokio's wakes three times in 20 seconds, as often as it refines
/// its wheel.
pub(crate) async fn sleep(wait: Duration) {
    // Zero would disarm the timer.
    let time = wait.max(Duration::from_nanos(1)).into();
    match timer(ClockId::CLOCK_MONOTONIC, time, TimerSetTimeFlags::empty()) {
        Ok(timer) => until_readable(timer).await,
        Err(error) => {
            log::error!("timer: {error}");
            tokio::time::sleep(wait).await;
        }
    }
}

fn timer(clock: ClockId, time: TimeSpec, flags: TimerSetTimeFlags) -> nix::Result<OwnedFd> {
    let timer = TimerFd::new(clock, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
    timer.set(Expiration::OneShot(time), flags)?;
    Ok(timer.into())
}
