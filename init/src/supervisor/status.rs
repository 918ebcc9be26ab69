//! What people ask of services: their status, their changes of state, to start and to stop.

use super::Supervisor;
use super::state;
use super::state::State;
use super::trigger::Trigger;
use super::unit::Unit;
use std::path::PathBuf;
use std::time::Duration;
use tare_config::Service;

/// The status of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceStatus {
    pub(crate) name: String,
    /// One line for people.
    pub(crate) description: String,
    /// `waiting`, `starting`, `ready`, `degraded`, `stopping`, `backing-off`, `failed`, `done` or `stopped`.
    pub(crate) state: &'static str,
    /// When it entered this state, since the kernel started (`CLOCK_BOOTTIME`).
    pub(crate) since: Duration,
    /// How often its program was started; more than once means restarts.
    pub(crate) runs: u64,
    /// Its main process as the host sees it, while it runs.
    pub(crate) pid: Option<i32>,
    /// Its cgroup, absolute on the host; it may not exist before the first run.
    pub(crate) cgroup: PathBuf,
    /// Its last `STATUS=`, or empty.
    pub(crate) text: String,
    /// How its last run ended: `status 1`, `SIGKILL`, `cannot start: …`.
    pub(crate) last_exit: Option<String>,
    /// The conditions it starts after, as written.
    pub(crate) after: Vec<String>,
    /// Those of them that do not hold now.
    pub(crate) lacks: Vec<String>,
    /// Whether the machine is not ready without it.
    pub(crate) required: bool,
    /// Whether it is required and needed, but neither ready nor done.
    pub(crate) missing: bool,
    /// CPU time of its ended runs, in microseconds.
    pub(crate) used: u64,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// There is no service of that name.
    #[error("no service `{0}`")]
    Unknown(String),
    /// All services are being stopped.
    #[error("the machine is about to end")]
    Ending,
}

impl Supervisor {
    /// Every service as it is now, by name.
    pub(crate) fn snapshot(&self) -> Vec<ServiceStatus> {
        self.units.values().map(|unit| self.status(unit)).collect()
    }

    fn status(&self, unit: &Unit) -> ServiceStatus {
        let after = &unit.service.lifecycle.after;
        let lacks = after
            .iter()
            .filter(|condition| !self.conditions.holds(condition));
        ServiceStatus {
            name: unit.name.clone(),
            description: unit.service.description.clone(),
            state: unit.life.state.word(),
            since: unit.since,
            runs: unit.run,
            pid: unit.main_pid(),
            cgroup: unit.cgroup(),
            text: unit.text.clone(),
            last_exit: unit.last_exit.clone(),
            after: after.iter().map(ToString::to_string).collect(),
            lacks: lacks.map(ToString::to_string).collect(),
            required: unit.service.lifecycle.required,
            missing: self.is_missing(unit),
            used: unit.used.get(),
        }
    }

    /// Starts a service that does not run, as soon as its conditions hold; one that runs is left alone.
    ///
    /// # Errors
    /// It is unknown, or the machine is about to end.
    pub(crate) fn start(&mut self, name: &str) -> Result<(), RequestError> {
        self.want(name)?;
        self.happen(name, state::Event::StartRequested);
        Ok(())
    }

    /// Stops a service; it stays stopped until it is started by name.
    ///
    /// # Errors
    /// It is unknown, or the machine is about to end.
    pub(crate) fn stop(&mut self, name: &str) -> Result<(), RequestError> {
        self.known(name)?;
        self.happen(name, state::Event::StopRequested { again: false });
        Ok(())
    }

    /// Stops a service that runs and starts it again; one that does not run is started.
    ///
    /// # Errors
    /// It is unknown, or the machine is about to end.
    pub(crate) fn restart(&mut self, name: &str) -> Result<(), RequestError> {
        self.want(name)?;
        self.happen(name, state::Event::StopRequested { again: true });
        Ok(())
    }

    /// A request replaces every trigger that the service waits for, except its arguments.
    fn want(&mut self, name: &str) -> Result<(), RequestError> {
        let unit = self.known(name)?;
        unit.triggers
            .retain(|trigger| *trigger == Trigger::Arguments);
        Ok(())
    }

    fn known(&mut self, name: &str) -> Result<&mut Unit, RequestError> {
        if self.ending.is_some() {
            return Err(RequestError::Ending);
        }
        let unit = self.units.get_mut(name);
        unit.ok_or_else(|| RequestError::Unknown(name.to_owned()))
    }
}

/// A change of a service's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) service: String,
    /// Its state before and now, in words.
    pub(crate) old: &'static str,
    pub(crate) new: &'static str,
    /// When, since the kernel started.
    pub(crate) at: Duration,
    /// How its program ended, if that is why.
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
    /// The changes since the last call.
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// The description of a service.
    pub(crate) fn service(&self, name: &str) -> Option<&Service> {
        self.units.get(name).map(|unit| &unit.service)
    }
}
