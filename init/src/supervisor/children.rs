//! What becomes of the children: launched, or not; ended.

use super::reap::{self, Outcome};
use super::run::Supervisor;
use super::state::{self, State};
use super::unit::Unit;
use tare_container::{LaunchError, Running};

impl Supervisor {
    /// Reaps what has ended and tells the services among it.
    pub(crate) fn reap(&mut self) {
        for (pid, outcome) in reap::reap() {
            match self.name_of(pid.as_raw()) {
                Some(name) => self.exited(&name, outcome),
                None if self.units.values().any(Unit::is_launching) => {
                    self.unclaimed.insert(pid.as_raw(), outcome);
                }
                None => {}
            }
        }
    }

    fn name_of(&self, pid: i32) -> Option<String> {
        let runs = |unit: &&Unit| {
            unit.running
                .as_ref()
                .is_some_and(|running| running.pid == pid)
        };
        self.units.values().find(runs).map(|unit| unit.name.clone())
    }

    /// A run became its program, or did not.
    pub(crate) fn launched(&mut self, name: &str, run: u64, result: Result<Running, LaunchError>) {
        let Some(unit) = self.units.get_mut(name).filter(|unit| unit.run == run) else {
            return;
        };
        unit.launching = false;
        match result {
            Ok(running) => {
                let ended = self.unclaimed.remove(&running.pid);
                unit.running = Some(running);
                self.happen(name, state::Event::Launched);
                if let Some(outcome) = ended {
                    self.exited(name, outcome);
                }
            }
            Err(error) => self.cannot_start(name, &error),
        }
        if !self.units.values().any(Unit::is_launching) {
            self.unclaimed.clear();
        }
    }

    pub(super) fn cannot_start(&mut self, name: &str, error: &dyn std::fmt::Display) {
        log::error!("{name} cannot start: {error}");
        self.happen(name, state::Event::LaunchFailed);
    }

    fn exited(&mut self, name: &str, outcome: Outcome) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let expected = matches!(unit.life.state, State::Stopping { .. }) || outcome.is_success();
        let level = if expected {
            log::Level::Debug
        } else {
            log::Level::Warn
        };
        log::log!(level, "{name} ended with {outcome}");
        unit.last_exit = Some(outcome);
        let ran_for = unit.started.elapsed();
        let success = outcome.is_success();
        self.happen(name, state::Event::Exited { success, ran_for });
    }
}
