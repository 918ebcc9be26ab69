//! Carries out what the state machines decide, and tells them what happened.

use super::changes::Change;
use super::conditions::Conditions;
use super::eligible::LOOK_LEAST;
use super::event::Event;
use super::execs::Execs;
use super::output::Collector;
use super::state::{self, Next, State, step};
use super::stop::Ending;
use super::unit::{Setup, Unit};
use crate::clock::since_boot;
use crate::task::Task;
use std::collections::BTreeMap;
use std::time::Duration;
use tare_config::service::{Condition, Kind, Service, Source, Start};
use tare_container::Bundle;
use tokio::sync::mpsc::UnboundedSender;

/// All services of the machine.
pub(crate) struct Supervisor {
    pub(super) units: BTreeMap<String, Unit>,
    pub(super) conditions: Conditions,
    pub(super) collector: Option<Collector>,
    /// Whether the machine has a log service, even if it is not added yet.
    pub(super) has_log: bool,
    /// Drains `/dev/log` while no log service reads it.
    pub(super) syslog_drain: Option<Task>,
    /// Whose the children are, and of which run, by process id.
    pub(super) children: BTreeMap<i32, (String, u64)>,
    pub(super) execs: Execs,
    pub(super) events: UnboundedSender<Event>,
    /// The next look at what nobody tells of, and the wait after that.
    pub(super) look: Option<Task>,
    pub(super) look_wait: Duration,
    /// The next turn of starting services, where there are many.
    pub(super) turn: Option<Task>,
    pub(super) ending: Option<Ending>,
    /// What nobody has asked for yet.
    pub(super) changes: Vec<Change>,
}

impl Supervisor {
    pub(crate) fn new(events: UnboundedSender<Event>) -> Self {
        Self {
            units: BTreeMap::new(),
            conditions: Conditions::default(),
            collector: None,
            has_log: true,
            syslog_drain: None,
            children: BTreeMap::new(),
            execs: Execs::default(),
            events,
            look: None,
            look_wait: LOOK_LEAST,
            turn: None,
            ending: None,
            changes: Vec::new(),
        }
    }

    /// Takes charge of a service. It starts as soon as its conditions hold, after the next call of
    /// [`start_eligible`](Self::start_eligible).
    pub(crate) fn add(&mut self, name: &str, service: Service, bundle: Bundle) -> Setup<'_> {
        let lifecycle = &service.lifecycle;
        let at_once = lifecycle.kind != Kind::Periodic && lifecycle.start == Start::Auto;
        self.units
            .entry(name.to_owned())
            .or_insert_with(|| Unit::new(name, service, bundle));
        if !at_once {
            self.arm_start_reason(name);
        }
        #[expect(clippy::expect_used, reason = "it was put there above")]
        Setup(
            self.units
                .get_mut(name)
                .expect("a unit that was just added"),
        )
    }

    /// Whether there is, or will be, a log service; it is expected unless said otherwise.
    pub(crate) fn expect_log(&mut self, has_log: bool) {
        self.has_log = has_log;
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

    /// Gives a service other arguments, and runs it anew if they changed; with none it waits. One that is about to end
    /// has them at its next start, if there is one.
    pub(crate) fn set_arguments(&mut self, name: &str, arguments: Vec<String>) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let changed = unit.arguments != arguments;
        unit.wanted = !arguments.is_empty();
        unit.arguments = arguments;
        if changed && unit.life.goes_on() && self.ending.is_none() {
            self.happen(name, state::Event::StopRequested { again: true });
        }
        self.start_eligible();
    }

    /// Restarts the services that have a volume, after another file system was mounted in its place.
    pub(crate) fn restart_users_of_volumes(&mut self) {
        let uses = |unit: &&Unit| {
            let mut mounts = unit.service.mounts.iter();
            unit.life.goes_on() && mounts.any(|mount| matches!(mount.source, Source::Volume(_)))
        };
        let users = self.units.values().filter(uses);
        let names: Vec<String> = users.map(|unit| unit.name.clone()).collect();
        for name in names {
            log::info!("{name}: restarting, the state is mounted");
            self.happen(&name, state::Event::StopRequested { again: true });
        }
    }

    /// Runs the services anew that read this fact only when they start.
    pub(crate) fn fact_changed(&mut self, fact: &str) {
        let reads = |unit: &&Unit| {
            let facts = &unit.service.lifecycle.restart_on;
            unit.life.goes_on() && facts.iter().any(|name| name == fact)
        };
        let names: Vec<String> = self
            .units
            .values()
            .filter(reads)
            .map(|unit| unit.name.clone())
            .collect();
        for name in names
            .iter()
            .filter(|_| self.ending.is_none())
            .cloned()
            .collect::<Vec<_>>()
        {
            log::info!("{name}: {fact} has changed");
            self.happen(&name, state::Event::StopRequested { again: true });
        }
    }

    /// The required services that are not ready or done, but for those that nobody needs.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let missing = self.units.values().filter(|unit| self.is_missing(unit));
        missing.map(|unit| unit.name.as_str()).collect()
    }

    pub(super) fn is_missing(&self, unit: &Unit) -> bool {
        let lacking = !self.conditions.holds(&unit.condition()) && !unit.is_idle();
        unit.service.lifecycle.required && lacking
    }

    /// One step of one service's life.
    pub(super) fn happen(&mut self, name: &str, event: state::Event) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let collects = unit.service.process.collects_output;
        let (life, actions) = step(&unit.service.lifecycle, unit.life, event, since_boot());
        let before = unit.enter(life);
        if before.word() != life.state.word() {
            self.changes.push(Change::of(unit, before));
        }
        self.tell_of(name, before, life.state);
        if collects {
            self.drain_outputs();
        }
        for action in actions {
            self.act(name, action);
        }
        self.ended_meanwhile(name);
    }

    /// What people should know even if they did not ask.
    fn tell_of(&self, name: &str, before: State, state: State) {
        match (before, state) {
            (State::Failed, _) => {}
            (_, State::Failed) => log::error!("{name} has failed"),
            (State::Ready, State::Degraded) => log::warn!("{name} does not answer as it should"),
            (State::Degraded, State::Ready) => log::info!("{name} answers again"),
            (_, State::Clearing { next: Next::Fail }) => {
                log::debug!("{name} is not started again");
            }
            _ => {}
        }
    }
}
