//! The hardware watchdogs, fed through the loop.

use super::Host;
use crate::effect::timer;
use crate::effect::watchdog::Watchdogs;
use crate::supervisor::Event;
use crate::task::Task;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// After this long, a watchdog ends what does not end by itself: writing back and unmounting.
const LAST_PATIENCE: Duration = Duration::from_secs(300);

impl Host {
    /// As the configuration has it; until then they run with its default.
    pub(super) fn set_watchdogs(&mut self) {
        let wanted = self.machine.watchdog;
        if wanted.enabled {
            self.watchdogs.set_timeout(wanted.timeout.get());
        } else {
            self.watchdogs.stop();
        }
        self.feed_watchdogs();
    }

    /// Feeds them, and comes back in time for the next meal.
    pub(super) fn feed_watchdogs(&mut self) {
        self.watchdogs.feed();
        let interval = self.watchdogs.interval();
        self.timers.meal = interval.map(|wait| Task::spawn(meal(wait, self.events.clone())));
    }

    /// Hands them over for the end of the machine: what comes then blocks, but not for ever.
    pub(crate) fn leave_watchdogs(&mut self) -> Watchdogs {
        self.watchdogs.set_timeout(LAST_PATIENCE);
        self.watchdogs.feed();
        std::mem::take(&mut self.watchdogs)
    }
}

/// This goes on for as long as the machine runs, so it wakes no more often than it must.
async fn meal(wait: Duration, events: UnboundedSender<Event>) {
    timer::sleep(wait).await;
    let _ = events.send(Event::HardwareWatchdogDue);
}
