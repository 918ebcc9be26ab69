//! The end of all services, in reverse order.

use super::run::Supervisor;
use super::state::{self, State};
use crate::plan::services::{Services, stops_after};

impl Supervisor {
    /// Begins to stop all services, in reverse order.
    pub(crate) fn begin_end(&mut self) {
        self.ending = true;
        self.stop_eligible();
    }

    /// Whether every service has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.units.values().all(|unit| !unit.life.is_running())
    }

    /// Stops every service that nobody needs any more.
    pub(super) fn stop_eligible(&mut self) {
        let services: Services = self
            .units
            .iter()
            .map(|(name, unit)| (name.clone(), unit.service.clone()))
            .collect();
        let ended = |name: &&str| {
            self.units
                .get(*name)
                .is_none_or(|unit| !unit.life.is_running())
        };
        let stoppable = |name: &&String| stops_after(name, &services).iter().all(ended);
        let names: Vec<String> = self.units.keys().filter(stoppable).cloned().collect();
        for name in names {
            if self
                .units
                .get(&name)
                .is_some_and(|unit| !matches!(unit.life.state, State::Stopping { again: false }))
            {
                self.happen(&name, state::Event::StopRequested { again: false });
            }
        }
    }
}
