//! Deadlines.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    /// When every wait of this thread ends.
    static LIMIT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// After `patience`, real time, every wait of this thread fails at once, so that a hanging test ends.
pub fn limit_waits(patience: Duration) {
    LIMIT.set(Some(Instant::now() + patience));
}

/// Undoes [`limit_waits`].
pub fn unlimit_waits() {
    LIMIT.set(None);
}

/// `n` seconds on a real CPU; a VM multiplies them by [`crate::Acceleration::slowness`].
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A point in time by which something must happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// In `patience`, or at this thread's limit ([`limit_waits`]) if that is earlier.
    pub(crate) fn after(patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self(LIMIT.get().map_or(deadline, |limit| deadline.min(limit)))
    }

    /// The time left, `None` once the deadline has passed.
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
