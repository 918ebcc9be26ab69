//! Deadlines.

use std::time::{Duration, Instant};

/// `n` seconds on a real CPU; a VM multiplies them by [`crate::Acceleration::slowness`].
pub const fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A point in time to be early for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn after(patience: Duration) -> Self {
        Self(Instant::now() + patience)
    }

    /// What is left, `None` once it has passed.
    pub(crate) fn left(self) -> Option<Duration> {
        self.0
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
    }
}
