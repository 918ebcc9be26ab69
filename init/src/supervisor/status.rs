//! What people ask of services: how they are, and that they start or stop.

use super::run::Supervisor;
use super::state;
use super::unit::Unit;
use std::path::PathBuf;
use std::time::Duration;

/// How a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceStatus {
    pub(crate) name: String,
    /// One line for people.
    pub(crate) description: String,
    /// `waiting`, `starting`, `ready`, `degraded`, `stopping`, `backing-off`, `failed`, `done` or `stopped`.
    pub(crate) state: &'static str,
    /// When it came into this state, since the kernel started (`CLOCK_BOOTTIME`).
    pub(crate) since: Duration,
    /// How often its program was started; more than once means restarts.
    pub(crate) runs: u64,
    /// Its main process as the host sees it, while it runs.
    pub(crate) pid: Option<i32>,
    /// Its cgroup, absolute on the host; it may not be there before the first run.
    pub(crate) cgroup: PathBuf,
    /// What it last said of itself (`STATUS=`), or empty.
    pub(crate) text: String,
    /// How its last run ended: `status 1`, `SIGKILL`, `cannot start: …`.
    pub(crate) last_exit: Option<String>,
    /// The conditions it starts after, as they are written.
    pub(crate) after: Vec<String>,
    /// Those of them that do not hold now.
    pub(crate) lacks: Vec<String>,
    /// Whether a boot without it is a bad boot.
    pub(crate) required: bool,
    /// Whether it is required and neither ready nor done, although somebody needs it.
    pub(crate) missing: bool,
    /// Microseconds of a processor that its ended runs have used.
    pub(crate) used: u64,
}

/// Why a service does not do as it is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// There is none of that name.
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

    /// Starts a service that does not run, as soon as its conditions hold; one that runs goes on.
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

    /// Stops a service that runs and starts it anew; one that does not run is started.
    ///
    /// # Errors
    /// It is unknown, or the machine is about to end.
    pub(crate) fn restart(&mut self, name: &str) -> Result<(), RequestError> {
        self.want(name)?;
        self.happen(name, state::Event::StopRequested { again: true });
        Ok(())
    }

    /// A person is reason enough to run a service, whatever it waits for else.
    fn want(&mut self, name: &str) -> Result<(), RequestError> {
        let unit = self.known(name)?;
        (unit.due, unit.needed) = (true, true);
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
