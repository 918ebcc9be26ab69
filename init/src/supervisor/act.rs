//! Carries out what the state machines decide.

use super::Supervisor;
use super::output::{self, Collector, Output, Reader};
use super::probe::Asker;
use super::start::report;
use super::state::{self, Action, State};
use super::stop;
use super::unit;
use super::unit::Unit;
use crate::event::UnitEvent;
use crate::task::Task;
use nix::sys::signal::Signal;
use std::io;
use std::time::Instant;
use tokio::task::spawn_local;

impl Supervisor {
    pub(super) fn act(&mut self, name: &str, action: Action) {
        let events = self.events.clone();
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let lifecycle = &unit.service.lifecycle;
        match action {
            Action::Launch => self.launch(name),
            Action::ArmStart => {
                if let Some(timeout) = lifecycle.start_timeout() {
                    // The service may have asked for more already.
                    let wished = unit.deadline.saturating_duration_since(Instant::now());
                    unit.arm(timeout.0.max(wished), state::Event::Late, &events);
                }
            }
            Action::DisarmStart => unit.phase = None,
            Action::WatchReadiness => self.watch_readiness(name),
            Action::WatchHealth => self.watch_health(name),
            Action::Publish => {
                let condition = unit.condition();
                self.set(condition);
            }
            Action::Withdraw => self.conditions.clear(&unit.condition()),
            Action::Signal => unit.signal(),
            Action::Abort => unit.send(Signal::SIGABRT),
            Action::ArmGrace => {
                unit.arm(lifecycle.stop.grace.0, state::Event::GraceOver, &events);
            }
            Action::Kill => unit.kill(),
            Action::ArmKilled => unit.arm(stop::PATIENCE, state::Event::Hangs, &events),
            Action::AwaitEmpty => self.await_empty(name),
            Action::ArmBackoff(wait) => {
                let wait = unit::jittered(wait, unit::random());
                unit.arm(wait, state::Event::BackoffOver, &events);
            }
            Action::Reconsider => self.start_eligible(),
            Action::ArmTriggers => {
                self.tell_skipped(name);
                self.arm_triggers(name);
                self.start_eligible();
            }
        }
    }

    fn launch(&mut self, name: &str) {
        let is_logged = self.has_log;
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        match unit.start(&self.events, is_logged) {
            Ok((starting, collector)) => {
                unit.launch = Some(unit::Launch::default());
                let run = unit.run;
                self.children.insert(starting.pid(), (name.to_owned(), run));
                self.connect(collector);
                self.drain_outputs();
                spawn_local(report(name.to_owned(), run, starting, self.events.clone()));
            }
            Err(error) => self.cannot_start(name, &error),
        }
    }

    /// Makes sure that the log service has the pipes of every service that writes to one.
    fn connect(&mut self, collector: Option<Collector>) {
        if collector.is_some() {
            self.collector = collector;
            self.units
                .values_mut()
                .filter_map(|unit| unit.output.as_mut())
                .for_each(|output| output.reader = Reader::None);
        }
        let Some(collector) = &self.collector else {
            return;
        };
        for unit in self.units.values_mut() {
            let Some(output) = &mut unit.output else {
                continue;
            };
            if matches!(output.reader, Reader::Log) {
                continue;
            }
            match collector.hand_over(&unit.name, output) {
                Ok(()) => output.reader = Reader::Log,
                // The log service has just ended: its next run is handed everything.
                Err(error) if has_ended(&error) => {
                    self.collector = None;
                    return;
                }
                // Tried again with the next service that starts.
                Err(error) => {
                    log::warn!("hand the output of {} to the log: {error}", unit.name);
                }
            }
        }
    }

    fn log_service(&self) -> Option<&Unit> {
        let mut units = self.units.values();
        units.find(|unit| unit.service.process.collects_output)
    }

    /// Drains what services write while the log service is disabled or stopped, or has failed. They would block on full
    /// pipes; what they write is lost.
    pub(super) fn drain_outputs(&mut self) {
        let log = self.log_service().map(|unit| unit.life.state);
        let is_stopped = matches!(log, Some(State::Stopped | State::Failed | State::Done));
        if !is_stopped && self.has_log {
            self.syslog_drain = None;
            for output in self
                .units
                .values_mut()
                .filter_map(|unit| unit.output.as_mut())
            {
                if matches!(output.reader, Reader::Drain { .. }) {
                    output.reader = Reader::None;
                }
            }
            return;
        }
        if self.syslog_drain.is_none() {
            let drain = output::drain_syslog();
            self.syslog_drain = drain.unwrap_or_else(|error| {
                log::warn!("drain /dev/log: {error}");
                None
            });
        }
        for unit in self.units.values_mut() {
            if let Some(Err(error)) = unit.output.as_mut().map(Output::drain) {
                log::warn!("{}: drain its output: {error}", unit.name);
            }
        }
    }

    fn watch_readiness(&mut self, name: &str) {
        let Some(asker) = self.asker(name) else {
            return;
        };
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        if let Some(probe) = unit.service.lifecycle.ready.probe() {
            unit.watch.push(Task::spawn(asker.until_ready(probe)));
        }
    }

    pub(super) fn watch_health(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        // The start timeout may still be running.
        unit.phase = None;
        unit.watch.clear();
        unit.watchdog_pinged(&self.events);
        self.watch_answers(name);
    }

    /// Probes the health of a service for as long as its state lasts.
    pub(super) fn watch_answers(&mut self, name: &str) {
        let asker = self.asker(name);
        let (Some(asker), Some(unit)) = (asker, self.units.get_mut(name)) else {
            return;
        };
        if let Some(health) = unit.service.lifecycle.health.clone() {
            unit.watch.push(Task::spawn(asker.for_ever(health)));
        }
    }

    /// The asker for the current run of a service.
    fn asker(&self, name: &str) -> Option<Asker> {
        let unit = self.units.get(name)?;
        Some(Asker {
            service: name.to_owned(),
            run: unit.run,
            pid: unit.running.as_ref()?.pid,
            events: self.events.clone(),
        })
    }

    /// Something happened to run `run` of a service.
    pub(crate) fn happened(&mut self, name: &str, run: u64, what: state::Event) {
        if self.units.get(name).is_some_and(|unit| unit.run == run) {
            self.happen(name, what);
        }
    }

    /// Checks whether run `run` of a service pinged its watchdog in time.
    pub(crate) fn watchdog_due(&mut self, name: &str, run: u64) {
        let unit = self.units.get_mut(name).filter(|unit| unit.run == run);
        let Some(unit) = unit else { return };
        match unit.watchdog.left() {
            Some(left) if left.is_zero() => {
                log::error!("{name}: watchdog timeout");
                self.happen(name, state::Event::WatchdogLate);
            }
            Some(left) => {
                let due = UnitEvent::WatchdogDue {
                    service: name.to_owned(),
                    run,
                };
                unit.watchdog.timer = Some(Task::after(left, due, &self.events));
            }
            None => unit.watchdog.timer = None,
        }
    }
}

/// Whether the log service at the other end of the socket is gone.
fn has_ended(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn what_may_pass_does_not_end_the_log_service() {
        for (errno, ended) in [
            (Errno::EPIPE, true),
            (Errno::ECONNRESET, true),
            (Errno::ENOTCONN, true),
            (Errno::EMFILE, false),
            (Errno::ENFILE, false),
            (Errno::ENOMEM, false),
            (Errno::EAGAIN, false),
            (Errno::ETOOMANYREFS, false),
        ] {
            assert_eq!(has_ended(&errno.into()), ended, "{errno}");
        }
    }
}
