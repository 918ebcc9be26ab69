//! When a daemon that has exited is restarted.

use std::time::Duration;

/// A run of at least this length that became ready is a good one.
const GOOD: Duration = Duration::from_secs(10);
/// After this many bad runs in a row PID 1 takes over, which waits longer and reports it.
const MOST: u32 = 3;
const FIRST_WAIT: Duration = Duration::from_millis(200);

/// Counts bad runs in a row.
#[derive(Debug, Default)]
pub(crate) struct Restarts {
    bad: u32,
}

impl Restarts {
    /// How long to wait before the next start; `None` if there is none.
    pub(crate) fn after(&mut self, ready: bool, ran_for: Duration) -> Option<Duration> {
        if ready && ran_for >= GOOD {
            self.bad = 0;
            return Some(Duration::ZERO);
        }
        self.bad += 1;
        (self.bad < MOST).then(|| FIRST_WAIT * self.bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_runs_are_followed_at_once_and_bad_ones_by_waits_and_an_end() {
        let (milliseconds, seconds) = (Duration::from_millis, Duration::from_secs);
        let mut restarts = Restarts::default();
        for (ready, ran_for, want) in [
            (true, seconds(3600), Some(Duration::ZERO)),
            (true, seconds(9), Some(milliseconds(200))),
            (false, seconds(60), Some(milliseconds(400))),
            (true, seconds(10), Some(Duration::ZERO)),
            (false, seconds(0), Some(milliseconds(200))),
            (false, seconds(0), Some(milliseconds(400))),
            (true, seconds(1), None),
        ] {
            assert_eq!(restarts.after(ready, ran_for), want, "{ready} {ran_for:?}");
        }
    }
}
