//! Carries out what the state machines decide, and tells them what happened.

use super::conditions::Conditions;
use super::notify::values;
use super::output::Collector;
use super::reap::Outcome;
use super::state::{self, Action, State, step};
use super::unit::Unit;
use super::{ready, reap};
use crate::effect::power::Ending;
use crate::plan::services::{Services, stops_after};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tare_config::service::{Condition, Service};
use tare_container::{Bundle, LaunchError, Running, Starting};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::spawn_local;
use tokio::time::{sleep, timeout};

/// How long a child may take to become its program.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(30);

/// What PID 1's loop waits for.
#[derive(Debug)]
pub(crate) enum Event {
    /// Some child has ended.
    ChildEnded,
    /// Whether a run of a service became its program.
    Launched {
        service: String,
        run: u64,
        result: Result<Running, LaunchError>,
    },
    /// A run of a service answers.
    Ready { service: String, run: u64 },
    /// A run's backoff is over.
    BackoffOver { service: String, run: u64 },
    /// A run's grace is over.
    GraceOver { service: String, run: u64 },
    /// A service spoke on its notify socket.
    Notified { service: String, message: String },
    /// Links or addresses changed.
    NetworkChanged,
    /// No way out was found in time; what waits for one goes on without.
    NetworkLate,
    /// The required services had their time.
    BootLate,
    /// The machine is to end.
    End(Ending),
    /// The machine had its time to end.
    EndLate,
}

/// All services of the machine.
pub(crate) struct Supervisor {
    units: BTreeMap<String, Unit>,
    conditions: Conditions,
    collector: Option<Collector>,
    /// Children that ended before it was known whose they are: a program may end before its launch
    /// is reported.
    unclaimed: BTreeMap<i32, Outcome>,
    events: UnboundedSender<Event>,
    ending: bool,
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
            let again = unit.wanted;
            self.happen(name, state::Event::StopRequested { again });
        }
        self.start_eligible();
    }

    /// Names and states of the services, a line each.
    pub(crate) fn summary(&self) -> String {
        self.units
            .values()
            .map(|unit| format!("{} {}\n", unit.name, word(unit.life.state)))
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

    /// Reaps what has ended and tells the services among it.
    pub(crate) fn reap(&mut self) {
        for (pid, outcome) in reap::reap() {
            match self.name_of(pid.as_raw()) {
                Some(name) => self.exited(&name, outcome),
                None if self.units.values().any(Unit::is_launching) => {
                    self.unclaimed.insert(pid.as_raw(), outcome);
                }
                None => {}
            }
        }
    }

    fn name_of(&self, pid: i32) -> Option<String> {
        let runs = |unit: &&Unit| {
            unit.running
                .as_ref()
                .is_some_and(|running| running.pid == pid)
        };
        self.units.values().find(runs).map(|unit| unit.name.clone())
    }

    /// A run became its program, or did not.
    pub(crate) fn launched(&mut self, name: &str, run: u64, result: Result<Running, LaunchError>) {
        let Some(unit) = self.units.get_mut(name).filter(|unit| unit.run == run) else {
            return;
        };
        unit.launching = false;
        match result {
            Ok(running) => {
                let ended = self.unclaimed.remove(&running.pid);
                unit.running = Some(running);
                self.happen(name, state::Event::Launched);
                if let Some(outcome) = ended {
                    self.exited(name, outcome);
                }
            }
            Err(error) => self.cannot_start(name, &error),
        }
        if !self.units.values().any(Unit::is_launching) {
            self.unclaimed.clear();
        }
    }

    fn cannot_start(&mut self, name: &str, error: &dyn std::fmt::Display) {
        log::error!("{name} cannot start: {error}");
        self.happen(name, state::Event::LaunchFailed);
    }

    fn exited(&mut self, name: &str, outcome: Outcome) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let expected = matches!(unit.life.state, State::Stopping { .. }) || outcome.is_success();
        let level = if expected {
            log::Level::Debug
        } else {
            log::Level::Warn
        };
        log::log!(level, "{name} ended with {outcome}");
        let ran_for = unit.started.elapsed();
        let success = outcome.is_success();
        self.happen(name, state::Event::Exited { success, ran_for });
    }

    /// Begins to stop all services, in reverse order.
    pub(crate) fn begin_end(&mut self) {
        self.ending = true;
        self.stop_eligible();
    }

    /// Whether every service has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.units.values().all(|unit| !unit.life.is_running())
    }

    /// Stops every service that nobody needs any more.
    fn stop_eligible(&mut self) {
        let services: Services = self
            .units
            .iter()
            .map(|(name, unit)| (name.clone(), unit.service.clone()))
            .collect();
        let ended = |name: &&str| {
            self.units
                .get(*name)
                .is_none_or(|unit| !unit.life.is_running())
        };
        let stoppable = |name: &&String| stops_after(name, &services).iter().all(ended);
        let names: Vec<String> = self.units.keys().filter(stoppable).cloned().collect();
        for name in names {
            if self
                .units
                .get(&name)
                .is_some_and(|unit| !matches!(unit.life.state, State::Stopping { again: false }))
            {
                self.happen(&name, state::Event::StopRequested { again: false });
            }
        }
    }

    /// One step of one service's life.
    fn happen(&mut self, name: &str, event: state::Event) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let (life, actions) = step(&unit.service.lifecycle, unit.life, event);
        let before = std::mem::replace(&mut unit.life, life).state;
        if before != life.state {
            log::debug!("{name}: {} -> {}", word(before), word(life.state));
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

    fn act(&mut self, name: &str, action: Action) {
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
            Action::Signal => signal(unit),
            Action::Kill => kill(unit),
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
        if unit.service.lifecycle.ready == tare_config::service::Ready::Notify {
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

/// What may be set on a service when it is taken in charge.
pub(crate) struct Setup<'a>(&'a mut Unit);

impl Setup<'_> {
    pub(crate) fn environment(&mut self, variable: String) {
        self.0.environment.push(variable);
    }

    pub(crate) fn sections(&mut self, sections: Vec<(String, String)>) {
        self.0.sections = sections;
    }

    /// Keeps it waiting until it is given arguments.
    pub(crate) fn hold(&mut self) {
        self.0.wanted = false;
    }
}

/// Waits until a child has become its program, or has told why not, and passes that on.
async fn report(service: String, run: u64, starting: Starting, events: UnboundedSender<Event>) {
    let result = match starting.as_fd().try_clone_to_owned().and_then(readable) {
        Ok(reported) => {
            let _ = timeout(LAUNCH_PATIENCE, reported.readable()).await;
            starting.finish(LAUNCH_PATIENCE)
        }
        // No descriptor left to wait with: the wait blocks, but it is bounded.
        Err(_) => starting.wait(LAUNCH_PATIENCE),
    };
    let _ = events.send(Event::Launched {
        service,
        run,
        result,
    });
}

fn readable(report: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the registration owns the descriptor, which therefore stays open and the same until
    // it is dropped with it.
    Ok(unsafe { AsyncFd::register_with_interest(report, Interest::READABLE) }?)
}

fn signal(unit: &Unit) {
    let Some(running) = &unit.running else { return };
    if let Err(error) = running.signal(super::unit::signal_of(unit.service.lifecycle.stop.signal)) {
        log::warn!("{}: signal: {error}", unit.name);
    }
}

fn kill(unit: &mut Unit) {
    let Some(running) = &unit.running else { return };
    if let Err(error) = running.kill() {
        log::warn!("{}: kill: {error}", unit.name);
    }
}

fn word(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Starting => "starting",
        State::Ready => "ready",
        State::Stopping { .. } => "stopping",
        State::BackingOff => "backing-off",
        State::Failed => "failed",
        State::Done => "done",
        State::Stopped => "stopped",
    }
}
