//! What starts a service that does not start at once: its schedule, its sockets, arguments.

use super::Supervisor;
use super::sockets;
use crate::effect::readable::until_readable;
use crate::effect::timer;
use crate::event::{Event, UnitEvent};
use crate::task::Task;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tare_config::service::{Calendar, Kind, Schedule, Start};

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
    /// Waits for the schedule of a service, or for demand.
    pub(super) fn arm_triggers(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let lifecycle = &unit.service.lifecycle;
        let periodic = lifecycle.kind == Kind::Periodic;
        let on_demand = lifecycle.start == Start::OnDemand;
        for (trigger, is_armed) in [(Trigger::Schedule, periodic), (Trigger::Demand, on_demand)] {
            if is_armed {
                unit.triggers.insert(trigger);
            } else {
                unit.triggers.remove(&trigger);
            }
        }
        match &lifecycle.schedule {
            Some(Schedule::At(calendar)) if periodic => {
                let due = at(calendar.clone(), name.to_owned(), self.events.clone());
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

/// Waits for the next time of `calendar`. When the clock is set, the kernel wakes us (`TFD_TIMER_CANCEL_ON_SET`), and
/// the next time is computed again.
async fn at(
    calendar: Calendar,
    service: String,
    events: tokio::sync::mpsc::UnboundedSender<Event>,
) {
    loop {
        let next = calendar.next(now());
        match timer::at(next.unwrap_or(NEVER)) {
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
/// Seconds since 1970 that no kernel clock shows (`KTIME_SEC_MAX`): only setting the clock ends that wait.
const NEVER: i64 = i64::MAX / 1_000_000_000;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use crate::supervisor::state::{Event, Next, State};
    use crate::supervisor::testing::supervisor;
    use std::fs::File;
    use tokio::task::LocalSet;

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
