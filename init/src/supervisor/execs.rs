//! Programs that PID 1 runs in the containers of services, to ask them how they are.

use super::reap::Outcome;
use super::run::Supervisor;
use std::collections::BTreeMap;
use std::time::Duration;
use tare_container::{Exec, Starting};
use tokio::sync::oneshot;

/// Such a program while it runs.
#[derive(Debug)]
struct Running {
    service: String,
    starting: Starting,
    done: oneshot::Sender<bool>,
}

/// All of them, by process id.
#[derive(Debug, Default)]
pub(super) struct Execs(BTreeMap<i32, Running>);

impl Execs {
    /// Takes the end of process `pid`; false if it is none of these.
    pub(super) fn ended(&mut self, pid: i32, outcome: Outcome) -> bool {
        let Some(running) = self.0.remove(&pid) else {
            return false;
        };
        if let Err(error) = running.starting.finish(Duration::ZERO) {
            log::debug!("{}: probe: {error}", running.service);
        }
        let _ = running.done.send(outcome.is_success());
        true
    }

    /// Ends those that nobody waits for any more.
    pub(super) fn end_late(&self) {
        for running in self.0.values().filter(|running| running.done.is_closed()) {
            running.starting.kill();
        }
    }
}

impl Supervisor {
    /// Runs a program in the container of run `run` of a service. `done` is dropped if it cannot be run.
    pub(crate) fn probe(
        &mut self,
        name: &str,
        run: u64,
        args: &[String],
        done: oneshot::Sender<bool>,
    ) {
        let unit = self.units.get(name).filter(|unit| unit.run == run);
        let Some((unit, running)) = unit.and_then(|unit| Some((unit, unit.running.as_ref()?)))
        else {
            return;
        };
        let options = Exec {
            args,
            stdio: [None; 3],
            environment: &[],
        };
        match tare_container::exec(&unit.bundle, running, &options) {
            Ok(starting) => {
                let service = name.to_owned();
                let running = Running {
                    service,
                    starting,
                    done,
                };
                self.execs.0.insert(running.starting.pid(), running);
            }
            Err(error) => log::warn!("{name}: probe: {error}"),
        }
    }

    /// Ends the programs that nobody waits for any more.
    pub(crate) fn probe_late(&self) {
        self.execs.end_late();
    }
}
