//! Programs that PID 1 runs in the containers of services: as probes, and for people.

use super::Supervisor;
use super::children::reap::Outcome;
use std::collections::BTreeMap;
use std::time::Duration;
use tare_container::{Exec, LaunchError, Starting};
use tokio::sync::oneshot;

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
