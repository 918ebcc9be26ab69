//! Which conditions hold, and who waits for what.

use std::collections::BTreeSet;
use tare_config::service::{Condition, Kind, Lifecycle};

/// The conditions that hold now.
#[derive(Debug, Default)]
pub(super) struct Conditions(BTreeSet<Condition>);

impl Conditions {
    pub(super) fn set(&mut self, condition: Condition) {
        self.0.insert(condition);
    }

    pub(super) fn clear(&mut self, condition: &Condition) {
        self.0.remove(condition);
    }

    pub(super) fn holds(&self, condition: &Condition) -> bool {
        self.0.contains(condition)
    }

    pub(super) fn all_hold(&self, wanted: &[Condition]) -> bool {
        wanted.iter().all(|condition| self.holds(condition))
    }
}

/// What a service makes true when all is well with it.
pub(super) fn of_service(name: &str, lifecycle: &Lifecycle) -> Condition {
    match lifecycle.kind {
        Kind::Daemon => Condition::Ready(name.to_owned()),
        Kind::Oneshot => Condition::Done(name.to_owned()),
    }
}
