//! The watchdog's time, and how long a backoff really is.

use super::event::Event;
use super::unit::{Unit, Watchdog};
use crate::task::Task;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::UnboundedSender;

impl Watchdog {
    /// How long the service may go on without a word; zero: it is late.
    pub(super) fn left(&self) -> Option<Duration> {
        let interval = self.interval.filter(|interval| !interval.is_zero())?;
        Some(interval.saturating_sub(self.fed.elapsed()))
    }
}

impl Unit {
    /// Takes a word of the service that all is well with it. One timer runs for an interval, however
    /// often it is fed meanwhile.
    pub(super) fn feed_watchdog(&mut self, events: &UnboundedSender<Event>) {
        self.watchdog.fed = Instant::now();
        let running = self.watchdog.timer.is_some();
        if let Some(left) = self.watchdog.left().filter(|_| !running) {
            let due = Event::WatchdogDue {
                service: self.name.clone(),
                run: self.run,
            };
            self.watchdog.timer = Some(Task::after(left, due, events));
        }
    }
}

/// `wait`, less up to a quarter: what failed together does not come back together.
pub(super) fn jittered(wait: Duration, random: u64) -> Duration {
    // 2^-12 of the quarter is fine enough.
    let part = u32::try_from(random % 4096).unwrap_or(0);
    wait - wait / 4 / 4096 * part
}

/// A number that the standard library's hasher takes from the kernel.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_loses_a_quarter_at_most() {
        let wait = Duration::from_millis(16_384);
        for (random, want) in [(0, 16_384), (4096, 16_384), (2048, 14_336), (4095, 12_289)] {
            assert_eq!(
                jittered(wait, random),
                Duration::from_millis(want),
                "{random}"
            );
        }
    }

    #[test]
    fn randomness_differs() {
        assert_ne!(random(), random());
    }
}
