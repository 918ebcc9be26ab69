//! What the state machines decide, done.

use super::event::Event;
use super::launch::report;
use super::output::Collector;
use super::ready;
use super::run::Supervisor;
use super::state::Action;
use std::time::Duration;
use tare_config::service::Ready;
use tokio::task::spawn_local;
use tokio::time::sleep;

impl Supervisor {
    pub(super) fn act(&mut self, name: &str, action: Action) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        match action {
            Action::Launch => self.launch(name),
            Action::WatchReadiness => self.watch_readiness(name),
            Action::Publish => {
                let condition = unit.condition();
                self.set(condition);
            }
            Action::Withdraw => self.conditions.clear(&unit.condition()),
            Action::Signal => unit.signal(),
            Action::Kill => unit.kill(),
            Action::ArmBackoff(wait) => self.arm(name, wait, |service, run| Event::BackoffOver {
                service,
                run,
            }),
            Action::ArmGrace => {
                let grace = unit.service.lifecycle.stop.grace.0;
                self.arm(name, grace, |service, run| Event::GraceOver {
                    service,
                    run,
                });
            }
        }
    }

    fn launch(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        match unit.start(&self.events) {
            Ok((starting, collector)) => {
                unit.launching = true;
                let run = unit.run;
                self.connect(collector);
                spawn_local(report(name.to_owned(), run, starting, self.events.clone()));
            }
            Err(error) => self.cannot_start(name, &error),
        }
    }

    /// Sees to it that the log service has the pipes of every service that writes to one.
    fn connect(&mut self, collector: Option<Collector>) {
        if collector.is_some() {
            self.collector = collector;
            self.units
                .values_mut()
                .for_each(|unit| unit.collected = false);
        }
        let Some(collector) = &self.collector else {
            return;
        };
        for unit in self.units.values_mut().filter(|unit| !unit.collected) {
            let Some(output) = &unit.output else { continue };
            match collector.hand_over(&unit.name, output) {
                Ok(()) => unit.collected = true,
                // It has just ended: its next run is handed everything.
                Err(error) => {
                    log::debug!("hand the output of {} to the log: {error}", unit.name);
                    self.collector = None;
                    return;
                }
            }
        }
    }

    fn watch_readiness(&self, name: &str) {
        let Some(unit) = self.units.get(name) else {
            return;
        };
        let Some(running) = &unit.running else { return };
        if unit.service.lifecycle.ready == Ready::Notify {
            return;
        }
        let (how, pid, events) = (
            unit.service.lifecycle.ready.clone(),
            running.pid,
            self.events.clone(),
        );
        let event = Event::Ready {
            service: name.to_owned(),
            run: unit.run,
        };
        let run = unit.run;
        log::debug!("{name}: run {run} is watched for readiness");
        spawn_local(async move {
            ready::answers(&how, pid).await;
            let _ = events.send(event);
        });
    }

    fn arm(&self, name: &str, wait: Duration, event: impl FnOnce(String, u64) -> Event) {
        let Some(unit) = self.units.get(name) else {
            return;
        };
        let (event, events) = (event(name.to_owned(), unit.run), self.events.clone());
        spawn_local(async move {
            sleep(wait).await;
            let _ = events.send(event);
        });
    }
}
