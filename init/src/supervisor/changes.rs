//! What has become of services, for who wants to know.

use super::run::Supervisor;
use super::state::State;
use super::unit::Unit;
use std::time::Duration;
use tare_config::Service;

/// A service came into another state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) service: String,
    /// Its state before and now, in words.
    pub(crate) old: &'static str,
    pub(crate) new: &'static str,
    /// When, since the kernel started.
    pub(crate) at: Duration,
    /// How its program ended, where that is why.
    pub(crate) exit: Option<String>,
}

impl Change {
    pub(super) fn of(unit: &Unit, before: State) -> Self {
        let now = unit.life.state;
        let runs = matches!(before, State::Waiting | State::BackingOff) || unit.life.is_running();
        Self {
            service: unit.name.clone(),
            old: before.word(),
            new: now.word(),
            at: unit.since,
            exit: unit.last_exit.clone().filter(|_| !runs),
        }
    }
}

impl Supervisor {
    /// What has changed since this was asked last.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The description of a service.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.units.get(name).map(|unit| &unit.service)
    }
}
