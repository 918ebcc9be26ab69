//! Deadlines.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    /// When every wait of this thread is over.
    static LIMIT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// From `patience` on, real time, every wait of this thread fails at once: a test that hangs ends.
pub fn limit_waits(patience: Duration) {
    LIMIT.set(Some(Instant::now() + patience));
}

/// Takes back [`limit_waits`].
pub fn unlimit_waits() {
    LIMIT.set(None);
}

/// `n` seconds on a real CPU; a VM multiplies them by [`crate::Acceleration::slowness`].
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A point in time to be early for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// In `patience`, or when all waits of this thread are over ([`limit_waits`]).
    pub(crate) fn after(patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self(LIMIT.get().map_or(deadline, |limit| deadline.min(limit)))
    }

    /// What is left, `None` once it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wait_outlasts_the_limit_of_its_thread() {
        limit_waits(Duration::ZERO);
        assert_eq!(Deadline::after(secs(60)).left(), None);
        unlimit_waits();
        assert!(Deadline::after(secs(60)).left() > Some(secs(50)));
    }
}
