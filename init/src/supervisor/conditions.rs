//! Which conditions hold.

use crate::effect::clock;
use std::collections::BTreeSet;
use std::path::Path;
use tare_config::service::Condition;

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

    /// Some are told by services and PID 1, others are there to be looked at.
    pub(super) fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::TimeSynced => clock::is_synced(),
            Condition::Path(path) => Path::new(path).exists(),
            told => self.0.contains(told),
        }
    }

    pub(super) fn all_hold(&self, wanted: &[Condition]) -> bool {
        wanted.iter().all(|condition| self.holds(condition))
    }
}

/// Whether nobody tells when `condition` comes to hold.
pub(super) fn is_only_looked_at(condition: &Condition) -> bool {
    matches!(condition, Condition::TimeSynced | Condition::Path(_))
}
