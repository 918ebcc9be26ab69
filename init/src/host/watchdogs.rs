//! The hardware watchdogs, pinged through the loop.

use super::Host;
use crate::effect::timer;
use crate::effect::watchdog::Watchdogs;
use crate::event::{Event, PowerEvent};
use crate::task::Task;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;

/// After this long, a watchdog resets a machine that hangs in writeback or unmounting.
const LAST_PATIENCE: Duration = Duration::from_secs(300);

impl Host {
    /// Applies the configuration; until then they run with its default.
    pub(super) fn set_watchdogs(&mut self) {
        let wanted = self.machine.watchdog;
        if wanted.enabled {
            self.watchdogs.run(wanted.timeout.get());
        } else {
            self.watchdogs.stop();
        }
        self.ping_watchdogs();
    }

    /// Pings them, and schedules the next ping.
    pub(super) fn ping_watchdogs(&mut self) {
        self.watchdogs.ping();
        let interval = self.watchdogs.interval();
        self.timers.ping = interval.map(|wait| Task::spawn(ping_due(wait, self.events.clone())));
    }

    /// Hands them over for the end of the machine: its last steps block, and the watchdogs limit for how long.
    pub(crate) fn leave_watchdogs(&mut self) -> Watchdogs {
        self.watchdogs.set_timeout(LAST_PATIENCE);
        self.watchdogs.ping();
        std::mem::take(&mut self.watchdogs)
    }
}

/// This recurs for as long as the machine runs, so it avoids needless wake-ups.
async fn ping_due(wait: Duration, events: UnboundedSender<Event>) {
    timer::sleep(wait).await;
    let _ = events.send(PowerEvent::WatchdogDue.into());
}
