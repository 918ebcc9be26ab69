//! Applies the messages of services.

use crate::supervisor::Supervisor;
use crate::supervisor::children;
use crate::supervisor::children::Outcome;
use crate::supervisor::notify::parse::{self, Notice};
use crate::supervisor::state::{self, Action, State};
use crate::supervisor::unit::Unit;
use nix::time::ClockId;
use std::time::{Duration, Instant};
use tare_config::service::Namespace;

impl Supervisor {
    /// Handles a message of run `run` of a service; messages of an earlier run are dropped.
    pub(crate) fn notified(&mut self, name: &str, run: u64, message: &str) {
        for notice in parse::parse(message) {
            let unit = self.units.get(name);
            if unit.is_some_and(|unit| unit.run == run && unit.life.has_main()) {
                self.heard(name, notice);
            }
        }
    }

    fn heard(&mut self, name: &str, notice: Notice) {
        match notice {
            Notice::Ready => self.happen(name, state::Event::SaysReady),
            Notice::Reloading(begun) => self.reloading(name, begun),
            Notice::Stopping => self.happen(name, state::Event::SaysStopping),
            Notice::WatchdogTrigger => self.happen(name, state::Event::WatchdogLate),
            Notice::MainPid(pid) => self.new_main(name, pid),
            Notice::ExtendTimeout(wait) => self.extend(name, wait),
            Notice::Status(text) => {
                if let Some(unit) = self.units.get_mut(name) {
                    unit.text = text;
                }
            }
            Notice::Problem(text) => {
                if let Some(unit) = self.units.get_mut(name) {
                    unit.problem = text;
                }
            }
            Notice::Watchdog => self.watchdog_pinged(name, None),
            Notice::WatchdogInterval(interval) => self.watchdog_pinged(name, Some(interval)),
        }
    }

    /// `WATCHDOG=1`, or a new interval, which counts as a ping (`sd_notify(3)`). Nothing else does: a service whose
    /// worker hangs may go on reporting its status.
    fn watchdog_pinged(&mut self, name: &str, interval: Option<Duration>) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        if interval.is_some() {
            unit.watchdog.interval = interval;
            unit.watchdog.timer = None;
        }
        // The watchdog of a service starts when it is ready (`WatchdogSec=`, systemd.service(5)).
        if matches!(unit.life.state, State::Ready | State::Degraded) {
            unit.watchdog_pinged(&self.events);
        }
    }

    /// Ignores a reload that began before this run.
    fn reloading(&mut self, name: &str, begun: Option<Duration>) {
        let Some(unit) = self.units.get(name) else {
            return;
        };
        let now = ClockId::CLOCK_MONOTONIC.now().map(Duration::from);
        let started = now
            .unwrap_or_default()
            .saturating_sub(unit.started.elapsed());
        if begun.is_none_or(|begun| begun >= started) {
            self.happen(name, state::Event::Reloading);
        }
    }

    /// Moves the deadline of its state, never to an earlier time.
    fn extend(&mut self, name: &str, wait: Duration) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let what = match unit.life.state {
            State::Stopping { .. } => state::Event::GraceOver,
            _ => state::Event::Late,
        };
        let deadline = Instant::now() + wait;
        match unit.phase {
            Some(_) if deadline > unit.deadline => unit.arm(wait, what, &self.events),
            // The timeout starts when the launch is reported.
            None if unit.launch.is_some() => unit.deadline = unit.deadline.max(deadline),
            _ => {}
        }
    }

    /// Makes another process the main one, if it is the service's own.
    fn new_main(&mut self, name: &str, pid: i32) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let Some(pid) = children::find_main(unit, pid) else {
            log::warn!("{name}: MAINPID={pid} is not one of its processes");
            return;
        };
        if unit.main_pid() == Some(pid) {
            return;
        }
        match children::take_main(unit, pid, &self.events) {
            Ok(()) => {
                self.watch_again(name);
                let Some(unit) = self.units.get_mut(name) else {
                    return;
                };
                // A process in the host's pid namespace may become our child.
                if unit.service.sandbox.joins(Namespace::Pid) {
                    let (name, run) = (name.to_owned(), unit.run);
                    self.children
                        .retain(|_, child| *child != (name.clone(), run));
                    self.children.insert(pid, (name, run));
                }
            }
            Err(error) => log::warn!("{name}: MAINPID: {error}"),
        }
    }

    /// Restarts the probes for a new main process: they look into its namespaces.
    fn watch_again(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        unit.watch.clear();
        match unit.life.state {
            State::Starting => self.act(name, Action::WatchReadiness),
            State::Ready | State::Degraded => self.watch_answers(name),
            _ => {}
        }
    }

    /// The process that a service named as its main one has ended.
    pub(crate) fn main_ended(&mut self, name: &str, run: u64, pid: i32) {
        // If it is our child, reaping it tells how it ended.
        self.reap();
        self.children.remove(&pid);
        let unit = self.units.get(name).filter(|unit| unit.run == run);
        if unit.and_then(Unit::main_pid) == Some(pid) {
            // Only its parent knows how it ended. A service whose main process is not our child is assumed to end
            // voluntarily.
            self.exited(name, Outcome::Status(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::testing::supervisor;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn only_a_ping_counts_for_the_watchdog() {
        let hung = ("hung", "ready = 'notify'\nwatchdog = '2s'");
        for (message, pings) in [
            ("STATUS=still here", false),
            ("READY=1", false),
            ("WATCHDOG=1", true),
            ("STATUS=well\nWATCHDOG=1", true),
            ("WATCHDOG_USEC=3000000", true),
        ] {
            let pinged = async {
                let mut supervisor = supervisor(&[hung]);
                let unit = supervisor.units.get_mut("hung").unwrap();
                unit.life.state = State::Ready;
                let before = unit.watchdog.pinged;
                supervisor.notified("hung", 0, message);
                supervisor.units["hung"].watchdog.pinged != before
            };
            let pinged = LocalSet::new().run_until(pinged).await;
            assert_eq!(pinged, pings, "{message}");
        }
    }

    #[tokio::test]
    async fn more_time_may_be_asked_for_before_the_launch_is_reported() {
        let seconds = Duration::from_secs;
        let slow = ("slow", "ready = 'notify'\nstart-timeout = '90s'");
        for (wish, least) in [(600, 590), (1, 80)] {
            let left = async {
                let mut supervisor = supervisor(&[slow]);
                let unit = supervisor.units.get_mut("slow").unwrap();
                unit.life.state = State::Starting;
                unit.launch = Some(crate::supervisor::unit::Launch::default());
                supervisor.notified("slow", 0, &format!("EXTEND_TIMEOUT_USEC={wish}000000"));
                supervisor.act("slow", Action::ArmStart);
                let deadline = supervisor.units["slow"].deadline;
                deadline.saturating_duration_since(Instant::now())
            };
            let left = LocalSet::new().run_until(left).await;
            assert!(
                (seconds(least)..seconds(least + 10)).contains(&left),
                "{left:?}"
            );
        }
    }
}
