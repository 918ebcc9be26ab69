//! Carries out what the state machines decide, and tells them what happened.

use super::conditions::Conditions;
use super::event::Event;
use super::notify::values;
use super::output::Collector;
use super::reap::Outcome;
use super::state::{self, State, step};
use super::unit::{Setup, Unit};
use crate::clock::since_boot;
use std::collections::BTreeMap;
use tare_config::service::{Condition, Service};
use tare_container::Bundle;
use tokio::sync::mpsc::UnboundedSender;

/// All services of the machine.
pub(crate) struct Supervisor {
    pub(super) units: BTreeMap<String, Unit>,
    pub(super) conditions: Conditions,
    pub(super) collector: Option<Collector>,
    /// Children that ended before it was known whose they are: a program may end before its launch
    /// is reported.
    pub(super) unclaimed: BTreeMap<i32, Outcome>,
    pub(super) events: UnboundedSender<Event>,
    pub(super) ending: bool,
}

impl Supervisor {
    pub(crate) fn new(events: UnboundedSender<Event>) -> Self {
        Self {
            units: BTreeMap::new(),
            conditions: Conditions::default(),
            collector: None,
            unclaimed: BTreeMap::new(),
            events,
            ending: false,
        }
    }

    /// Takes charge of a service and starts it as soon as its conditions hold.
    pub(crate) fn add(&mut self, name: &str, service: Service, bundle: Bundle) -> Setup<'_> {
        let unit = self
            .units
            .entry(name.to_owned())
            .or_insert_with(|| Unit::new(name, service, bundle));
        Setup(unit)
    }

    /// Whether a service of this name is known already.
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.units.contains_key(name)
    }

    /// Makes `condition` hold.
    pub(crate) fn set(&mut self, condition: Condition) {
        self.conditions.set(condition);
        self.start_eligible();
    }

    /// Whether `condition` holds.
    pub(crate) fn holds(&self, condition: &Condition) -> bool {
        self.conditions.holds(condition)
    }

    /// Whether the service has ended for good.
    pub(crate) fn has_ended(&self, name: &str) -> bool {
        self.units.get(name).is_none_or(|unit| {
            matches!(
                unit.life.state,
                State::Done | State::Failed | State::Stopped
            )
        })
    }

    /// Starts every service that waited for nothing but what holds now.
    pub(crate) fn start_eligible(&mut self) {
        if self.ending {
            return;
        }
        let eligible = |unit: &&Unit| {
            unit.life.state == State::Waiting
                && unit.wanted
                && self.conditions.all_hold(&unit.service.lifecycle.after)
        };
        let names: Vec<String> = self
            .units
            .values()
            .filter(eligible)
            .map(|unit| unit.name.clone())
            .collect();
        for name in names {
            self.happen(&name, state::Event::ConditionsMet);
        }
    }

    /// Gives a service other arguments, and runs it anew if they changed; with none it waits.
    pub(crate) fn set_arguments(&mut self, name: &str, arguments: Vec<String>) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let changed = unit.arguments != arguments;
        unit.wanted = !arguments.is_empty();
        unit.arguments = arguments;
        if changed && unit.life.is_running() {
            let again = unit.wanted && !self.ending;
            self.happen(name, state::Event::StopRequested { again });
        }
        self.start_eligible();
    }

    /// Runs the services anew that read this fact only when they start.
    pub(crate) fn fact_changed(&mut self, fact: &str) {
        let reads = |unit: &&Unit| {
            let facts = &unit.service.lifecycle.restart_on;
            !self.ending && unit.life.is_running() && facts.iter().any(|name| name == fact)
        };
        let names: Vec<String> = self
            .units
            .values()
            .filter(reads)
            .map(|unit| unit.name.clone())
            .collect();
        for name in names {
            log::info!("{name}: {fact} has changed");
            self.happen(&name, state::Event::StopRequested { again: true });
        }
    }

    /// Names and states of the services, a line each.
    pub(crate) fn summary(&self) -> String {
        self.units
            .values()
            .map(|unit| format!("{} {}\n", unit.name, unit.life.state.word()))
            .collect()
    }

    /// The required services that are not ready or done.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let late = |unit: &&Unit| {
            unit.service.lifecycle.required && !self.conditions.holds(&unit.condition())
        };
        self.units
            .values()
            .filter(late)
            .map(|unit| unit.name.as_str())
            .collect()
    }

    /// What a running service said, if it said it now and not in an earlier run.
    pub(crate) fn notified(&mut self, name: &str, message: &str) {
        if let (Some(unit), Some(text)) =
            (self.units.get_mut(name), values(message, "STATUS").last())
        {
            unit.text = text.to_owned();
        }
        if values(message, "READY").any(|value| value == "1") {
            self.happen(name, state::Event::BecameReady);
        }
    }

    /// A timer or probe that belongs to run `run` of a service.
    pub(crate) fn of_run(&mut self, name: &str, run: u64, event: state::Event) {
        if self.units.get(name).is_some_and(|unit| unit.run == run) {
            self.happen(name, event);
        }
    }

    pub(crate) fn ready(&mut self, name: &str, run: u64) {
        self.of_run(name, run, state::Event::BecameReady);
    }

    pub(crate) fn backoff_over(&mut self, name: &str, run: u64) {
        self.of_run(name, run, state::Event::BackoffOver);
    }

    pub(crate) fn grace_over(&mut self, name: &str, run: u64) {
        self.of_run(name, run, state::Event::GraceOver);
    }

    /// One step of one service's life.
    pub(super) fn happen(&mut self, name: &str, event: state::Event) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let (life, actions) = step(&unit.service.lifecycle, unit.life, event);
        let before = std::mem::replace(&mut unit.life, life).state;
        if before != life.state {
            unit.since = since_boot();
            log::debug!("{name}: {} -> {}", before.word(), life.state.word());
        }
        if life.state == State::Failed {
            log::error!("{name} has failed");
        }
        for action in actions {
            self.act(name, action);
        }
        if self.ending && before != life.state {
            self.stop_eligible();
        }
    }
}
