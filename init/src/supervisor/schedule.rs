//! When a service may start: its triggers, its conditions, its turn.

use super::Supervisor;
use super::state::{self, State};
use super::unit::Unit;
use crate::clock::since_boot;
use crate::effect::readable::until_readable;
use crate::effect::{clock, sockets, timer};
use crate::event::{Event, UnitEvent};
use crate::task::Task;
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tare_config::service::{Calendar, Condition, Kind, Schedule, Start};

/// The first and the longest wait before PID 1 looks again at the conditions that no event reports.
pub(super) const LOOK_LEAST: Duration = Duration::from_millis(100);
const LOOK_MOST: Duration = Duration::from_secs(10);
/// The time budget for starting services before PID 1 goes back to its loop: the hardware watchdog must still be pinged.
const TURN: Duration = Duration::from_millis(50);

impl Supervisor {
    /// Starts every service that waits only for conditions that hold now, the heaviest first.
    pub(crate) fn start_eligible(&mut self) {
        if self.ending.is_some() || self.turn.is_some() {
            return;
        }
        self.spread_need();
        let eligible = |unit: &&Unit| {
            unit.is_to_run() && self.conditions.all_hold(&unit.service.lifecycle.after)
        };
        let mut found: Vec<&Unit> = self.units.values().filter(eligible).collect();
        found.sort_by_key(|unit| Reverse(unit.service.resources.cpu_weight));
        let names: Vec<String> = found.iter().map(|unit| unit.name.clone()).collect();
        let begun = Instant::now();
        for name in names {
            if begun.elapsed() >= TURN {
                self.turn = Some(Task::after(
                    Duration::ZERO,
                    UnitEvent::StartMore,
                    &self.events,
                ));
                return;
            }
            self.happen(&name, state::Event::ConditionsMet);
        }
        self.look_later();
    }

    /// Continues to start services.
    pub(crate) fn start_more(&mut self) {
        self.turn = None;
        self.start_eligible();
    }

    /// Activates the on-demand services that a waiting service needs, directly or not.
    fn spread_need(&mut self) {
        loop {
            let waiting = self
                .units
                .values()
                .filter(|unit| unit.is_to_run() && unit.has_work());
            let conditions = waiting.flat_map(|unit| &unit.service.lifecycle.after);
            let subjects = conditions.filter_map(Condition::subject);
            let units = subjects.filter_map(|name| self.units.get(name));
            let idle = |unit: &&Unit| unit.is_idle() && !unit.rests();
            let Some(name) = units.into_iter().find(idle).map(|unit| unit.name.clone()) else {
                return;
            };
            if let Some(unit) = self.units.get_mut(&name) {
                log::info!("{name}: activated");
                unit.triggers.remove(&Trigger::Demand);
            }
        }
    }

    /// If a service waits for a condition that no event reports, looks again later, at growing intervals.
    fn look_later(&mut self) {
        let mut waiting = self.units.values().filter(|unit| unit.is_to_run());
        let looked_at = |unit: &Unit| unit.service.lifecycle.after.iter().any(is_only_looked_at);
        if !waiting.any(looked_at) {
            (self.look, self.look_wait) = (None, LOOK_LEAST);
        } else if self.look.is_none() {
            self.look = Some(Task::after(self.look_wait, UnitEvent::Look, &self.events));
            self.look_wait = (self.look_wait * 2).min(LOOK_MOST);
        }
    }

    /// Looks at the conditions that no event reports.
    pub(crate) fn look(&mut self) {
        self.look = None;
        self.start_eligible();
    }
}

impl Unit {
    /// Whether it waits only for its conditions.
    fn is_to_run(&self) -> bool {
        self.life.state == State::Waiting && self.triggers.is_empty()
    }

    /// When its last run began, since the kernel started.
    pub(super) fn started_at(&self) -> Option<Duration> {
        let at = || since_boot().saturating_sub(self.started.elapsed());
        (self.run > 0).then(at)
    }

    /// When its schedule starts it next, since the kernel started; `None` unless it waits for that.
    pub(super) fn due(&self) -> Option<Duration> {
        let waits = self.life.state == State::Waiting;
        let schedule = self.service.lifecycle.schedule.as_ref();
        let wait = match schedule.filter(|_| waits && self.triggers.contains(&Trigger::Schedule))? {
            Schedule::At(calendar) => {
                let now = now();
                Duration::from_secs(u64::try_from(calendar.next(now)? - now).ok()?)
            }
            Schedule::Every(span) => span.0.saturating_sub(self.started.elapsed()),
        };
        Some(since_boot() + wait)
    }

    /// Whether a time of its calendar came while it ran, for `ran` until `now` in seconds since 1970.
    fn was_due_again(&self, now: i64, ran: Duration) -> bool {
        let began = now - i64::try_from(ran.as_secs()).unwrap_or(0);
        match &self.service.lifecycle.schedule {
            Some(Schedule::At(calendar)) => calendar.next(began).is_some_and(|next| next <= now),
            Some(Schedule::Every(_)) | None => false,
        }
    }

    /// Whether it waits for demand.
    pub(super) fn is_idle(&self) -> bool {
        self.life.state == State::Waiting && self.triggers.contains(&Trigger::Demand)
    }
}

/// The conditions that hold now.
#[derive(Debug, Default)]
pub(super) struct Conditions(BTreeSet<Condition>);

impl Conditions {
    pub(super) fn set(&mut self, condition: Condition) {
        self.0.insert(condition);
    }

    pub(super) fn clear(&mut self, condition: &Condition) {
        self.0.remove(condition);
    }

    /// Some conditions are set by events, the others are polled.
    pub(super) fn holds(&self, condition: &Condition) -> bool {
        match condition {
            Condition::TimeSynced => clock::is_synced(),
            Condition::Path(path) => Path::new(path).exists(),
            told => self.0.contains(told),
        }
    }

    pub(super) fn all_hold(&self, wanted: &[Condition]) -> bool {
        wanted.iter().all(|condition| self.holds(condition))
    }
}

/// Whether no event reports that `condition` holds.
pub(super) fn is_only_looked_at(condition: &Condition) -> bool {
    matches!(condition, Condition::TimeSynced | Condition::Path(_))
}

/// What a waiting service needs before its conditions count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Trigger {
    /// Its time, for a periodic service between two runs.
    Schedule,
    /// Use of its socket, or a service that waits for it, for one that starts on demand.
    Demand,
    /// Arguments, for one that has nothing to do without any.
    Arguments,
}

impl Supervisor {
    /// Logs that a run is left out if the service, whose run has just ended, was due meanwhile.
    pub(super) fn tell_skipped(&self, name: &str) {
        let unit = self.units.get(name);
        if unit.is_some_and(|unit| unit.was_due_again(now(), unit.started.elapsed())) {
            log::warn!("{name}: was due while it ran; it does not run again for that");
        }
    }

    /// Waits for the schedule of a service, or for demand.
    pub(super) fn arm_triggers(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let lifecycle = &unit.service.lifecycle;
        let periodic = lifecycle.kind == Kind::Periodic;
        let on_demand = lifecycle.start == Start::OnDemand;
        let is_at = matches!(lifecycle.schedule, Some(Schedule::At(_)));
        unit.catches_up = periodic && is_at && lifecycle.catch_up && unit.run == 0;
        for (trigger, is_armed) in [(Trigger::Schedule, periodic), (Trigger::Demand, on_demand)] {
            if is_armed {
                unit.triggers.insert(trigger);
            } else {
                unit.triggers.remove(&trigger);
            }
        }
        match &lifecycle.schedule {
            Some(Schedule::At(calendar)) if periodic => {
                let calendar = (!unit.catches_up).then(|| calendar.clone());
                let due = at(calendar, name.to_owned(), self.events.clone());
                unit.phase = Some(Task::spawn(due));
            }
            Some(Schedule::Every(span)) if periodic => {
                let service = name.to_owned();
                // The first run is due at once; each later one counts from the start of the one before.
                let gone = (unit.run > 0).then(|| unit.started.elapsed());
                let wait = gone.map_or(Duration::ZERO, |gone| span.0.saturating_sub(gone));
                unit.phase = Some(Task::after(wait, UnitEvent::Due { service }, &self.events));
            }
            _ if on_demand => unit.rest(&self.events),
            _ => {}
        }
        if on_demand {
            self.watch_sockets(name);
        }
    }

    fn watch_sockets(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        if let Err(error) = unit.open_sockets() {
            // Its start tries again, with every restart.
            log::error!("{name}: sockets: {error}");
            unit.triggers.remove(&Trigger::Demand);
            return;
        }
        for socket in &unit.sockets {
            match sockets::watch(socket, name, unit.life.backoff, &self.events) {
                Ok(task) => unit.watch.push(task),
                Err(error) => {
                    log::error!("{name}: watch a socket: {error}");
                    // Better to run it needlessly than to let a caller wait for ever.
                    unit.triggers.remove(&Trigger::Demand);
                }
            }
        }
    }

    /// A periodic service is due.
    pub(crate) fn due(&mut self, name: &str) {
        if let Some(unit) = self.units.get_mut(name) {
            unit.triggers.remove(&Trigger::Schedule);
        }
        self.start_eligible();
    }

    /// A service is needed.
    pub(crate) fn needed(&mut self, name: &str) {
        if let Some(unit) = self.units.get_mut(name) {
            if unit.triggers.remove(&Trigger::Demand) {
                log::info!("{name}: activated");
            }
        }
        self.start_eligible();
    }
}

/// Waits for the next time of `calendar`, or, without one, only for a clock that shows the time: as long as it shows what
/// PID 1 made up, no time comes. When the clock is set, the kernel wakes us (`TFD_TIMER_CANCEL_ON_SET`), and the next time is
/// computed again.
async fn at(
    calendar: Option<Calendar>,
    service: String,
    events: tokio::sync::mpsc::UnboundedSender<Event>,
) {
    loop {
        let is_guess = clock::is_guess();
        let next = match &calendar {
            Some(calendar) => calendar.next(now()),
            None => Some(now()),
        };
        let next = next.filter(|_| !is_guess);
        // Setting the clock ends the wait. One that is right by chance is not set.
        let wake = if is_guess {
            now() + GUESS
        } else {
            next.unwrap_or(NEVER)
        };
        match timer::at(wake) {
            Ok(timer) => until_readable(timer).await,
            Err(error) => {
                log::error!("{service}: timer: {error}");
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
        }
        // Either the time has come, or the clock was stepped to just after it.
        if next.is_some_and(|next| (next..next + LATE).contains(&now())) {
            let _ = events.send(UnitEvent::Due { service }.into());
            return;
        }
    }
}

/// A timer that is this late, in seconds, was not late: the clock was set.
const LATE: i64 = 60;
/// After how many seconds PID 1 looks again at a clock that may be wrong.
const GUESS: i64 = 600;
/// Seconds since 1970 that no kernel clock shows (`KTIME_SEC_MAX`): only setting the clock ends that wait.
const NEVER: i64 = i64::MAX / 1_000_000_000;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::ServiceStatus;
    use crate::supervisor::state::{Event, Next, State};
    use crate::supervisor::testing::supervisor;
    use std::fs::File;
    use tokio::task::LocalSet;

    /// Names and states; a service whose start was tried is backing off.
    async fn states(services: &[(&str, &str)]) -> String {
        LocalSet::new()
            .run_until(async {
                let mut supervisor = supervisor(services);
                supervisor.start_eligible();
                let services = supervisor.snapshot();
                let text =
                    |service: &ServiceStatus| format!("{} {}, ", service.name, service.state);
                services.iter().map(text).collect()
            })
            .await
    }

    #[tokio::test]
    async fn a_waiting_service_activates_what_it_waits_for() {
        let idle = ("idle", "start = 'on-demand'\nafter = ['spare:ready']");
        let spare = ("spare", "start = 'on-demand'");
        for (services, want) in [
            (vec![idle, spare], "idle waiting, spare waiting, "),
            (
                vec![idle, spare, ("user", "after = ['idle:ready']")],
                "idle waiting, spare backing-off, user waiting, ",
            ),
            (
                vec![
                    spare,
                    (
                        "user",
                        "kind = 'periodic'\nschedule = 'yearly'\nafter = ['spare:ready']",
                    ),
                ],
                "spare waiting, user waiting, ",
            ),
            (
                vec![("a", "after = ['path:/']"), ("b", "after = ['path:/none']")],
                "a backing-off, b waiting, ",
            ),
        ] {
            assert_eq!(states(&services).await, want);
        }
    }

    #[tokio::test]
    async fn a_service_without_work_activates_no_other() {
        for (sections, want) in [
            (&[][..], "backing-off"),
            (&[("apps", r#"{"a":{}}"#)], "backing-off"),
            (&[("apps", "{}")], "waiting"),
            (&[("apps", "null"), ("engine", r#"{"a":1}"#)], "waiting"),
        ] {
            let spare = async {
                let spare = ("spare", "start = 'on-demand'");
                let mut supervisor = supervisor(&[spare, ("user", "after = ['spare:ready']")]);
                let owned = |(name, json): &(&str, &str)| {
                    let value: serde_json::Value = serde_json::from_str(json).unwrap();
                    (name.to_string(), value.into())
                };
                let unit = supervisor.units.get_mut("user").unwrap();
                unit.sections = sections.iter().map(owned).collect();
                supervisor.start_eligible();
                supervisor.units["spare"].life.state.word()
            };
            assert_eq!(LocalSet::new().run_until(spare).await, want, "{sections:?}");
        }
    }

    #[tokio::test]
    async fn only_the_first_run_after_a_boot_catches_up() {
        for (lifecycle, run, want) in [
            ("schedule = 'yearly'\ncatch-up = true", 0, true),
            ("schedule = 'yearly'\ncatch-up = true", 1, false),
            ("schedule = '1h'\ncatch-up = true", 0, false),
            ("schedule = 'yearly'", 0, false),
        ] {
            let work = async {
                let lifecycle = format!("kind = 'periodic'\n{lifecycle}");
                let mut supervisor = supervisor(&[("a", &lifecycle)]);
                supervisor.units.get_mut("a").unwrap().run = run;
                supervisor.arm_triggers("a");
                let catches_up = supervisor.units["a"].catches_up;
                supervisor.want("a").unwrap();
                (catches_up, supervisor.units["a"].catches_up)
            };
            let got = LocalSet::new().run_until(work).await;
            assert_eq!(got, (want, false), "{lifecycle} {run}");
        }
    }

    #[tokio::test]
    async fn a_run_that_catches_up_is_due_at_once() {
        let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
        tokio::time::timeout(LOOK_MOST, at(None, "a".to_owned(), sender))
            .await
            .unwrap();
        assert!(events.try_recv().is_ok());
    }

    /// The state of the first service just after it has ended well, and after its backoff.
    async fn after_a_good_run(services: &[(&str, &str)]) -> [&'static str; 2] {
        let backoff = Duration::from_millis(20);
        LocalSet::new()
            .run_until(async {
                let mut supervisor = supervisor(services);
                let name = services[0].0;
                let unit = supervisor.units.get_mut(name).unwrap();
                let next = state::Next::Wait { success: true };
                (unit.life.state, unit.life.backoff) = (State::Clearing { next }, backoff);
                unit.triggers.clear();
                supervisor.happen(name, state::Event::Emptied);
                let word = |supervisor: &Supervisor| supervisor.units[name].life.state.word();
                let first = word(&supervisor);
                tokio::time::sleep(backoff * 2).await;
                supervisor.look();
                [first, word(&supervisor)]
            })
            .await
    }

    #[tokio::test]
    async fn a_run_is_not_followed_by_another_at_once() {
        let nightly = ("nightly", "kind = 'periodic'\nschedule = 'yearly'");
        assert_eq!(after_a_good_run(&[nightly]).await, ["waiting", "waiting"]);
        let spare = ("spare", "start = 'on-demand'");
        let user = ("user", "after = ['spare:ready']");
        let rested = ["waiting", "backing-off"];
        assert_eq!(after_a_good_run(&[spare, user]).await, rested);
        assert_eq!(after_a_good_run(&[spare]).await, ["waiting", "waiting"]);
    }

    #[tokio::test]
    async fn a_periodic_service_is_due_at_its_time() {
        for (schedule, is_due, ran, was_due) in [
            ("minutely", true, 59, false),
            ("minutely", true, 60, true),
            ("*:*:0/10", true, 15, true),
            ("*:*:59", true, 60, true),
            ("yearly", true, 60, false),
            ("2020-01-01", false, 60, false),
            ("1h", true, 7200, false),
        ] {
            let lifecycle = format!("kind = 'periodic'\nschedule = '{schedule}'");
            let work = async {
                let mut supervisor = supervisor(&[("a", &lifecycle)]);
                let unit = supervisor.units.get_mut("a").unwrap();
                unit.triggers.insert(Trigger::Schedule);
                let due = unit.due().is_some_and(|due| due > since_boot());
                // A minute that has just ended.
                let now = 1_795_242_659;
                let was_due = unit.was_due_again(now, Duration::from_secs(ran));
                unit.triggers.clear();
                (due, was_due, unit.due())
            };
            let got = LocalSet::new().run_until(work).await;
            assert_eq!(got, (is_due, was_due, None), "{schedule}");
        }
    }

    #[tokio::test]
    async fn a_service_that_does_not_come_refuses_callers() {
        for (next, open) in [
            (Next::Stop, 0),
            (Next::Fail, 0),
            (Next::Done, 0),
            (Next::Wait { success: true }, 1),
        ] {
            let sockets = async {
                let mut supervisor = supervisor(&[("idle", "start = 'on-demand'")]);
                let unit = supervisor.units.get_mut("idle").unwrap();
                unit.sockets = vec![File::open("/dev/null").unwrap().into()];
                unit.life.state = State::Clearing { next };
                supervisor.happen("idle", Event::Emptied);
                supervisor.units["idle"].sockets.len()
            };
            let sockets = LocalSet::new().run_until(sockets).await;
            assert_eq!(sockets, open, "{next:?}");
        }
    }
}
