//! What makes a service run that does not run at once: its schedule, its sockets.

use super::event::Event;
use super::run::Supervisor;
use super::sockets;
use crate::effect::readable::until_readable;
use crate::effect::timer;
use crate::task::Task;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tare_config::service::{Calendar, Kind, Schedule, Start};

impl Supervisor {
    /// Waits for the schedule of a service, or for somebody who needs it.
    pub(super) fn arm_start_reason(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let lifecycle = &unit.service.lifecycle;
        unit.due = lifecycle.kind != Kind::Periodic;
        unit.needed = lifecycle.start == Start::Auto;
        match &lifecycle.schedule {
            Some(Schedule::At(calendar)) if !unit.due => {
                let due = at(calendar.clone(), name.to_owned(), self.events.clone());
                unit.phase = Some(Task::spawn(due));
            }
            Some(Schedule::Every(span)) if !unit.due => {
                let service = name.to_owned();
                // The first run is due at once, each other from the one before.
                let gone = (unit.run > 0).then(|| unit.started.elapsed());
                let wait = gone.map_or(Duration::ZERO, |gone| span.0.saturating_sub(gone));
                unit.phase = Some(Task::after(wait, Event::Due { service }, &self.events));
            }
            _ if !unit.needed => unit.rest(&self.events),
            _ => {}
        }
        if !unit.needed {
            self.watch_sockets(name);
        }
    }

    fn watch_sockets(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        if let Err(error) = unit.open_sockets() {
            // Its start tries again, and again.
            log::error!("{name}: sockets: {error}");
            unit.needed = true;
            return;
        }
        for socket in &unit.sockets {
            match sockets::watch(socket, name, unit.life.backoff, &self.events) {
                Ok(task) => unit.watch.push(task),
                Err(error) => {
                    log::error!("{name}: watch a socket: {error}");
                    // Better it runs for nobody than that somebody waits for ever.
                    unit.needed = true;
                }
            }
        }
    }

    /// A periodic service is to run.
    pub(crate) fn due(&mut self, name: &str) {
        if let Some(unit) = self.units.get_mut(name) {
            unit.due = true;
        }
        self.start_eligible();
    }

    /// Somebody needs a service.
    pub(crate) fn needed(&mut self, name: &str) {
        if let Some(unit) = self.units.get_mut(name) {
            if !unit.needed {
                log::info!("{name}: activated");
                unit.needed = true;
            }
        }
        self.start_eligible();
    }
}

/// Waits for the next time of `calendar`. When the clock is set, the kernel wakes us
/// (`TFD_TIMER_CANCEL_ON_SET`), and the next time is another one.
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
        // The time itself, or a clock that was set to less than it takes to start a service after it.
        if next.is_some_and(|next| (next..next + LATE).contains(&now())) {
            let _ = events.send(Event::Due { service });
            return;
        }
    }
}

/// A timer that is this late, in seconds, was not late: the clock was set.
const LATE: i64 = 60;
/// Seconds since 1970 that no clock of the kernel's shows (`KTIME_SEC_MAX`): only setting the clock ends such a wait.
const NEVER: i64 = i64::MAX / 1_000_000_000;

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0))
}
