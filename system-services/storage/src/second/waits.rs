//! When to look for the disk, and how long others wait for it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// When to look after the start, and after a disk came or went: the kernel finds partitions a little later, and links are
/// made after that. A USB disk takes seconds.
const LOOKS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(300),
    Duration::from_secs(2),
    Duration::from_secs(6),
];
/// How long others wait for a disk that is there, but not mounted yet.
const USUAL: Duration = Duration::from_secs(10);
/// How long they wait for a required one, wherever it is.
const REQUIRED: Duration = Duration::from_secs(60);

/// The times that matter.
#[derive(Debug)]
pub(super) struct Waits {
    looks: BTreeSet<Instant>,
    is_looking: bool,
    /// Until when others wait; `None` if they do not any more.
    until: Option<Instant>,
}

impl Waits {
    /// For a disk that is looked for from `now` on.
    pub(super) fn new(now: Instant, required: bool) -> Self {
        let wait = if required { REQUIRED } else { USUAL };
        Self {
            looks: LOOKS.map(|after| now + after).into(),
            is_looking: false,
            until: Some(now + wait),
        }
    }

    pub(super) fn devices_changed(&mut self, now: Instant) {
        self.looks.extend(LOOKS.map(|after| now + after));
    }

    /// Whether a look is due at `now`, and none runs. It counts as begun.
    pub(super) fn begin_look(&mut self, now: Instant) -> bool {
        if self.is_looking || self.looks.first().is_none_or(|at| *at > now) {
            return false;
        }
        self.looks.retain(|at| *at > now);
        self.is_looking = true;
        true
    }

    pub(super) fn end_look(&mut self) {
        self.is_looking = false;
    }

    pub(super) fn is_looking(&self) -> bool {
        self.is_looking
    }

    /// Whether others have waited long enough.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Others do not wait any more. Returns whether they did.
    pub(super) fn end(&mut self) -> bool {
        self.until.take().is_some()
    }

    /// When something is to be done next, if nothing happens before.
    pub(super) fn next(&self) -> Option<Instant> {
        let look = self.looks.first().filter(|_| !self.is_looking);
        look.into_iter().chain(&self.until).min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_look_at_a_time_and_a_bounded_wait() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut waits = Waits::new(start, false);
        assert!(waits.begin_look(start));
        // While a disk does not answer, only the time of the others runs.
        assert!(!waits.begin_look(at(7000)));
        assert_eq!(waits.next(), Some(at(10_000)));
        assert!(!waits.is_late(at(9999)));
        assert!(waits.is_late(at(10_000)));
        waits.end_look();
        // Those that were missed are made up for by one.
        assert!(waits.begin_look(at(10_000)));
        waits.end_look();
        assert!(!waits.begin_look(at(10_000)));
        assert!(waits.end());
        assert!(!waits.end());
        assert_eq!(waits.next(), None);
        waits.devices_changed(at(20_000));
        assert!(waits.begin_look(at(20_000)));
        waits.end_look();
        assert_eq!(waits.next(), Some(at(20_300)));
    }

    #[test]
    fn a_required_disk_is_waited_for_longer() {
        let start = Instant::now();
        let waits = Waits::new(start, true);
        assert!(!waits.is_late(start + Duration::from_secs(59)));
        assert!(waits.is_late(start + Duration::from_secs(60)));
    }
}
