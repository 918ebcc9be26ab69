//! What people ask of services: their status, their changes of state, to start, to stop, and to run a program in them.

use super::Supervisor;
use super::children::Outcome;
use super::schedule::Trigger;
use super::state::{self, State};
use super::unit::Unit;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tare_config::Service;
use tare_container::{Exec, LaunchError, Starting};
use tokio::sync::oneshot;

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
    /// Its last `X_TARE_PROBLEM=`, or empty.
    pub(crate) problem: String,
    /// How its last run ended: `status 1`, `SIGKILL`, `cannot start: …`.
    pub(crate) last_exit: Option<String>,
    /// When its last run began, since the kernel started.
    pub(crate) started: Option<Duration>,
    /// When its schedule starts it next, likewise; `None` unless it waits for that.
    pub(crate) due: Option<Duration>,
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
            problem: unit.problem.clone(),
            last_exit: unit.last_exit.clone(),
            started: unit.started_at(),
            due: unit.due(),
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
    pub(super) fn want(&mut self, name: &str) -> Result<(), RequestError> {
        let unit = self.known(name)?;
        unit.triggers
            .retain(|trigger| *trigger == Trigger::Arguments);
        unit.catches_up = false;
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

/// How a program ended, or why it could not be run.
pub(crate) type Ended = Result<Outcome, String>;

/// A program while it runs.
#[derive(Debug)]
struct Running {
    service: String,
    starting: Starting,
    done: oneshot::Sender<Ended>,
}

/// All of them, by process id.
#[derive(Debug, Default)]
pub(super) struct Execs(BTreeMap<i32, Running>);

impl Execs {
    /// Handles the end of process `pid`; returns false if it is not one of these.
    pub(super) fn ended(&mut self, pid: i32, outcome: Outcome) -> bool {
        let Some(running) = self.0.remove(&pid) else {
            return false;
        };
        let ended = match running.starting.finish(Duration::ZERO) {
            Ok(_) => Ok(outcome),
            Err(error) => {
                log::debug!("{}: {error}", running.service);
                Err(error.to_string())
            }
        };
        let _ = running.done.send(ended);
        true
    }

    /// Kills the programs whose caller has stopped waiting.
    pub(super) fn end_late(&self) {
        for running in self.0.values().filter(|running| running.done.is_closed()) {
            running.starting.kill();
        }
    }
}

/// Most likely the service has reached its process limit, which says something about the service. All other errors
/// say something about PID 1.
fn is_full(error: &LaunchError) -> bool {
    let full = nix::errno::Errno::EAGAIN;
    matches!(error, LaunchError::Clone { source, .. } if *source == full)
}

impl Supervisor {
    /// Runs a program in the container of run `run` of a service. `done` is dropped if it cannot be run.
    pub(crate) fn probe(
        &mut self,
        name: &str,
        run: u64,
        args: &[String],
        done: oneshot::Sender<Ended>,
    ) {
        if self.units.get(name).is_none_or(|unit| unit.run != run) {
            return;
        }
        let options = Exec {
            args,
            stdio: [None; 3],
            environment: &[],
        };
        if let Some(Err(error)) = self.exec(name, &options, done) {
            log::warn!("{name}: probe: {error}");
        }
    }

    /// Runs a program in the container of a service; `None` if the service does not run. `done` is told how the
    /// program ends. It is killed once its caller has stopped waiting.
    pub(crate) fn exec(
        &mut self,
        name: &str,
        options: &Exec<'_>,
        done: oneshot::Sender<Ended>,
    ) -> Option<Result<(), LaunchError>> {
        let unit = self.units.get(name)?;
        let running = unit.running.as_ref().filter(|_| unit.life.is_running())?;
        let starting = match tare_container::exec(&unit.bundle, running, options) {
            Ok(starting) => starting,
            Err(error) => {
                if is_full(&error) {
                    let _ = done.send(Err(error.to_string()));
                }
                return Some(Err(error));
            }
        };
        let service = name.to_owned();
        let running = Running {
            service,
            starting,
            done,
        };
        self.execs.0.insert(running.starting.pid(), running);
        Some(Ok(()))
    }

    /// Kills the programs whose caller has stopped waiting.
    pub(crate) fn probe_late(&self) {
        self.execs.end_late();
    }
}
