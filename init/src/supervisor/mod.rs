//! The supervisor: one state machine per service, one place that reaps. It carries out what the state machines
//! decide, and tells them what happened.

mod act;
mod children;
mod describe;
mod notify;
mod output;
mod probe;
mod request;
mod schedule;
mod start;
pub(crate) mod state;
mod stop;
mod unit;

pub(crate) use children::{Outcome, reap};
pub(crate) use describe::Description;
pub(crate) use notify::parse::values;
pub(crate) use request::{Change, Ended, RequestError, ServiceStatus};

use self::output::Collector;
use self::request::Execs;
use self::schedule::{Conditions, LOOK_LEAST, Trigger};
use self::state::{Next, State, step};
use self::stop::Ending;
use self::unit::{Setup, Unit};
use crate::clock::since_boot;
use crate::event::{Event, UnitEvent};
use crate::task::Task;
use nix::sys::signal::Signal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tare_config::service::{Condition, Kind, Service, Source, Start};
use tare_container::Bundle;
use tokio::sync::mpsc::UnboundedSender;

/// The least time between two restarts for changed facts: a DHCP server may change its mind with every packet.
const FACT_PAUSE: Duration = Duration::from_secs(10);

/// All services of the machine.
pub(crate) struct Supervisor {
    units: BTreeMap<String, Unit>,
    /// How often services that are gone were started: events of their runs may still come.
    runs: BTreeMap<String, u64>,
    conditions: Conditions,
    collector: Option<Collector>,
    /// Whether the machine has a log service, even if it is not added yet.
    has_log: bool,
    /// Drains `/dev/log` while no log service reads it.
    syslog_drain: Option<Task>,
    /// The service and run of each child, by process id.
    children: BTreeMap<i32, (String, u64)>,
    execs: Execs,
    events: UnboundedSender<Event>,
    /// The next look at the conditions that no event reports, and the wait after that.
    look: Option<Task>,
    look_wait: Duration,
    /// The next turn of starting services, if there are many.
    turn: Option<Task>,
    /// Facts that have changed since the last restart for facts, and the end of the pause after that.
    changed_facts: BTreeSet<String>,
    restarted_for_facts: Option<Instant>,
    fact_pause: Option<Task>,
    ending: Option<Ending>,
    /// Changes that have not been collected yet.
    changes: Vec<Change>,
}

impl Supervisor {
    pub(crate) fn new(events: UnboundedSender<Event>) -> Self {
        Self {
            units: BTreeMap::new(),
            runs: BTreeMap::new(),
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
            changed_facts: BTreeSet::new(),
            restarted_for_facts: None,
            fact_pause: None,
            ending: None,
            changes: Vec::new(),
        }
    }

    /// Handles an event.
    pub(crate) fn take(&mut self, event: UnitEvent) {
        match event {
            UnitEvent::ChildEnded => self.reap(),
            UnitEvent::Launched {
                service,
                run,
                result,
            } => self.launched(&service, run, result),
            UnitEvent::Happened { service, run, what } => self.happened(&service, run, what),
            UnitEvent::WatchdogDue { service, run } => self.watchdog_due(&service, run),
            UnitEvent::MainEnded { service, run, pid } => self.main_ended(&service, run, pid),
            UnitEvent::Probe {
                service,
                run,
                args,
                done,
            } => self.probe(&service, run, &args, done),
            UnitEvent::ProbeLate => self.probe_late(),
            UnitEvent::Due { service } => self.due(&service),
            UnitEvent::SocketUsed { service } => self.needed(&service),
            UnitEvent::Notified {
                service,
                run,
                message,
            } => self.notified(&service, run, &message),
            UnitEvent::Look => self.look(),
            UnitEvent::StartMore => self.start_more(),
            UnitEvent::FactPauseOver => self.fact_pause_over(),
        }
    }

    /// Adds a service. It starts as soon as its conditions hold, after the next call of
    /// [`start_eligible`](Self::start_eligible).
    pub(crate) fn add(&mut self, name: &str, service: Service, bundle: Bundle) -> Setup<'_> {
        let lifecycle = &service.lifecycle;
        let at_once = lifecycle.kind != Kind::Periodic && lifecycle.start == Start::Auto;
        let run = self.runs.remove(name).unwrap_or(0);
        self.units.entry(name.to_owned()).or_insert_with(|| Unit {
            run,
            ..Unit::new(name, service, bundle)
        });
        if !at_once {
            self.arm_triggers(name);
        }
        #[expect(clippy::expect_used, reason = "it was put there above")]
        Setup(
            self.units
                .get_mut(name)
                .expect("a unit that was just added"),
        )
    }

    /// Sets whether there is, or will be, a log service; by default there is.
    pub(crate) fn expect_log(&mut self, has_log: bool) {
        if std::mem::replace(&mut self.has_log, has_log) && !has_log {
            self.drain_outputs();
        }
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

    /// Sets a service's arguments, and restarts it if they changed; without any, it waits. A service that is stopping
    /// gets them at its next start, if there is one.
    pub(crate) fn set_arguments(&mut self, name: &str, arguments: Vec<String>) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let changed = unit.arguments != arguments;
        if arguments.is_empty() {
            unit.triggers.insert(Trigger::Arguments);
        } else {
            unit.triggers.remove(&Trigger::Arguments);
        }
        unit.arguments = arguments;
        if changed && unit.life.goes_on() && self.ending.is_none() {
            self.happen(name, state::Event::StopRequested { again: true });
        }
        self.start_eligible();
    }

    /// Restarts the services that have a volume, after another file system was mounted as the state.
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

    /// Has the services that read this fact again do so, and restarts those that read it only when they start: at once, or
    /// with others after a pause.
    pub(crate) fn fact_changed(&mut self, fact: &str) {
        self.reload_for(fact);
        self.changed_facts.insert(fact.to_owned());
        let gone = self.restarted_for_facts.map(|at| at.elapsed());
        let left = gone.map_or(Duration::ZERO, |gone| FACT_PAUSE.saturating_sub(gone));
        if left.is_zero() {
            self.restart_for_facts();
        } else if self.fact_pause.is_none() {
            self.fact_pause = Some(Task::after(left, UnitEvent::FactPauseOver, &self.events));
        }
    }

    /// Sends SIGHUP to the services that read `fact` again then. One that has not said that it is ready may not handle the
    /// signal yet: it is restarted.
    fn reload_for(&mut self, fact: &str) {
        let reads = |unit: &&Unit| {
            let mut read = unit.service.lifecycle.reload_on.iter();
            unit.life.goes_on() && read.any(|name| name == fact)
        };
        let units = self.units.values().filter(reads);
        let units: Vec<(String, State)> = units
            .map(|unit| (unit.name.clone(), unit.life.state))
            .collect();
        for (name, state) in units {
            if state == State::Starting {
                self.happen(&name, state::Event::StopRequested { again: true });
            } else if let Some(unit) = self.units.get(&name) {
                log::info!("{name}: reloading, {fact} has changed");
                unit.send(Signal::SIGHUP);
            }
        }
    }

    /// Restarts services for what has changed during the pause.
    pub(crate) fn fact_pause_over(&mut self) {
        self.fact_pause = None;
        self.restart_for_facts();
    }

    fn restart_for_facts(&mut self) {
        let facts = std::mem::take(&mut self.changed_facts);
        if self.ending.is_some() {
            return;
        }
        let changed = |unit: &Unit| {
            let mut read = unit.service.lifecycle.restart_on.iter();
            read.find(|fact| facts.contains(*fact)).cloned()
        };
        let stale = self.units.values().filter(|unit| unit.life.goes_on());
        let stale: Vec<(String, String)> = stale
            .filter_map(|unit| Some((unit.name.clone(), changed(unit)?)))
            .collect();
        for (name, fact) in stale {
            self.restarted_for_facts = Some(Instant::now());
            log::info!("{name}: restarting, {fact} has changed");
            self.happen(&name, state::Event::StopRequested { again: true });
        }
    }

    /// The required services that are neither ready nor done, except for those that are not needed.
    pub(crate) fn missing(&self) -> Vec<&str> {
        let missing = self.units.values().filter(|unit| self.is_missing(unit));
        missing.map(|unit| unit.name.as_str()).collect()
    }

    fn is_missing(&self, unit: &Unit) -> bool {
        let lacking = !self.conditions.holds(&unit.condition()) && !unit.is_idle();
        unit.service.lifecycle.required && lacking
    }

    /// One step of one service's life.
    fn happen(&mut self, name: &str, event: state::Event) {
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
        // Before an action starts it again.
        self.take_next(name);
        for action in actions {
            self.act(name, action);
        }
        self.forget(name);
        self.ended_meanwhile(name);
    }

    /// Logs the changes that people should know about.
    fn tell_of(&self, name: &str, before: State, state: State) {
        match (before, state) {
            (State::Failed, _) => {}
            (_, State::Failed) => log::error!("{name} has failed"),
            (State::Ready, State::Degraded) => log::warn!("{name}: health check failed"),
            (State::Degraded, State::Ready) => log::info!("{name}: health check passes again"),
            (_, State::Clearing { next: Next::Fail }) => {
                log::debug!("{name} is not started again");
            }
            _ => {}
        }
    }
}

/// For tests: services that cannot be started.
#[cfg(test)]
mod testing {
    use super::Supervisor;
    use std::path::PathBuf;
    use tare_config::Service;
    use tare_container::{Bundle, Spec};
    use tokio::sync::mpsc::unbounded_channel;

    /// A supervisor of services whose programs cannot be started: their bundles are empty.
    pub(super) fn supervisor(services: &[(&str, &str)]) -> Supervisor {
        let mut supervisor = Supervisor::new(unbounded_channel().0);
        for (name, lifecycle) in services {
            let text = format!("[lifecycle]\n{lifecycle}");
            supervisor.add(name, service(&text), bundle());
        }
        supervisor
    }

    /// A service, from what its description says besides its program.
    pub(super) fn service(text: &str) -> Service {
        let text = format!("description='x'\nprocess={{args=['/x']}}\n{text}");
        tare_config::parse("t", text.as_bytes()).unwrap()
    }

    pub(super) fn bundle() -> Bundle {
        Bundle {
            path: PathBuf::new(),
            spec: Spec::default(),
            filter: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::testing::supervisor;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn facts_that_change_soon_after_a_restart_are_taken_together() {
        let local = LocalSet::new();
        let waiting = local.run_until(async {
            let mut supervisor = supervisor(&[("reader", "restart-on = ['a']")]);
            let mut waiting = Vec::new();
            let mut changed = |supervisor: &mut Supervisor, fact| {
                supervisor.fact_changed(fact);
                waiting.push((
                    supervisor.changed_facts.len(),
                    supervisor.fact_pause.is_some(),
                ));
            };
            // It does not run, so that it need not be restarted.
            changed(&mut supervisor, "a");
            let unit = supervisor.units.get_mut("reader").unwrap();
            unit.life.state = State::Ready;
            for fact in ["b", "a", "b", "a"] {
                changed(&mut supervisor, fact);
            }
            supervisor.fact_pause_over();
            waiting.push((
                supervisor.changed_facts.len(),
                supervisor.fact_pause.is_some(),
            ));
            waiting
        });
        let want = [
            (0, false),
            (0, false),
            (0, false),
            (1, true),
            (2, true),
            (0, false),
        ];
        assert_eq!(waiting.await, want);
    }

    /// The states after a change of a fact, and of the arguments, of a service in `state`.
    async fn after_changes(state: State) -> [State; 2] {
        let changed = |change: fn(&mut Supervisor)| async move {
            let mut supervisor = supervisor(&[("reader", "restart-on = ['a']")]);
            supervisor.units.get_mut("reader").unwrap().life.state = state;
            change(&mut supervisor);
            supervisor.units["reader"].life.state
        };
        let both = async {
            let fact = changed(|supervisor| supervisor.fact_changed("a")).await;
            let arguments = changed(|supervisor| {
                supervisor.set_arguments("reader", vec!["eth0".to_owned()]);
            });
            [fact, arguments.await]
        };
        LocalSet::new().run_until(both).await
    }

    #[tokio::test]
    async fn a_service_that_reads_a_fact_again_goes_on() {
        let again = State::Stopping {
            then: state::Then::StartAgain,
        };
        for (state, want) in [
            (State::Ready, State::Ready),
            (State::Degraded, State::Degraded),
            (State::Starting, again),
            (State::Stopped, State::Stopped),
        ] {
            let work = async {
                let mut supervisor = supervisor(&[("reader", "reload-on = ['a']")]);
                supervisor.units.get_mut("reader").unwrap().life.state = state;
                supervisor.fact_changed("a");
                supervisor.units["reader"].life.state
            };
            assert_eq!(LocalSet::new().run_until(work).await, want);
        }
    }

    #[tokio::test]
    async fn what_was_told_to_stop_stays_so() {
        use state::Then;
        let again = State::Stopping {
            then: Then::StartAgain,
        };
        assert_eq!(after_changes(State::Ready).await, [again; 2]);
        for state in [
            State::Stopping { then: Then::Stop },
            State::Clearing { next: Next::Stop },
            State::Stopped,
        ] {
            assert_eq!(after_changes(state).await, [state; 2]);
        }
    }
}
