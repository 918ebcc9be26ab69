//! A service under supervision: its description, bundle, life and processes.

use super::children::Outcome;
use super::describe::Description;
use super::notify::Notify;
use super::output::Output;
use super::schedule::Trigger;
use super::state::{Life, State};
use crate::clock::since_boot;
use crate::effect::sockets;
use crate::event::{Event, UnitEvent};
use crate::plan::sections::Section;
use crate::task::Task;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tare_config::service::{Condition, Service};
use tare_container::{Bundle, Running, cgroup, paths};
use tokio::sync::mpsc::UnboundedSender;

/// A service under supervision.
pub(super) struct Unit {
    pub(super) name: String,
    pub(super) service: Service,
    pub(super) bundle: Bundle,
    pub(super) life: Life,
    /// When it entered its state (`CLOCK_BOOTTIME`).
    pub(super) since: Duration,
    /// Its last `STATUS=`.
    pub(super) text: String,
    /// What is wrong with its configuration, as it says (`X_TARE_PROBLEM=`), or empty.
    pub(super) problem: String,
    /// How its last run ended.
    pub(super) last_exit: Option<String>,
    /// CPU time of its ended runs, in microseconds: each had a cgroup of its own.
    pub(super) used: Rc<Cell<u64>>,
    /// Counts runs, so that events of an earlier run are known to be stale.
    pub(super) run: u64,
    pub(super) running: Option<Running>,
    /// The process that the service named as its main one, if that is not its first.
    pub(super) main: Option<MainProcess>,
    pub(super) started: Instant,
    /// Arguments added at each start.
    pub(super) arguments: Vec<String>,
    /// Environment variables added at each start.
    pub(super) environment: Vec<String>,
    /// Sections of the configuration it may read, by name.
    pub(super) sections: Vec<(String, Section)>,
    /// What describes it once it has ended.
    pub(super) next: Option<Box<Description>>,
    /// Whether it is forgotten then.
    pub(super) is_leaving: bool,
    /// What must still come before its conditions count.
    pub(super) triggers: BTreeSet<Trigger>,
    /// Whether its next start is the one after a boot, for what it may have missed.
    pub(super) catches_up: bool,
    /// `None` before its first start, and if it writes to the kernel's log.
    pub(super) output: Option<Output>,
    /// A child whose launch has not been reported yet.
    pub(super) launch: Option<Launch>,
    pub(super) notify: Option<Notify>,
    /// Its listening sockets, kept across restarts.
    pub(super) sockets: Vec<OwnedFd>,
    /// The task that ends the wait of its state, and when it does so, or may at the earliest.
    pub(super) phase: Option<Task>,
    pub(super) deadline: Instant,
    /// Tasks that watch it in its state: probes, sockets.
    pub(super) watch: Vec<Task>,
    pub(super) watchdog: Watchdog,
}

/// A launch that has not been reported yet.
#[derive(Debug, Default)]
pub(super) struct Launch {
    /// How its program ended, which may come first.
    pub(super) ended: Option<Outcome>,
}

/// A main process that is not the first one of its container.
pub(super) struct MainProcess {
    pub(super) pid: i32,
    /// `None` if it replaced the first one.
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) _watch: Task,
}

/// The watchdog that a service pings.
pub(super) struct Watchdog {
    pub(super) interval: Option<Duration>,
    pub(super) pinged: Instant,
    pub(super) timer: Option<Task>,
}

impl Unit {
    pub(super) fn new(name: &str, service: Service, bundle: Bundle) -> Self {
        Self {
            name: name.to_owned(),
            service,
            bundle,
            life: Life::NEW,
            since: since_boot(),
            text: String::new(),
            problem: String::new(),
            last_exit: None,
            used: Rc::default(),
            run: 0,
            running: None,
            main: None,
            started: Instant::now(),
            arguments: Vec::new(),
            environment: Vec::new(),
            sections: Vec::new(),
            next: None,
            is_leaving: false,
            triggers: BTreeSet::new(),
            catches_up: false,
            output: None,
            launch: None,
            notify: None,
            sockets: Vec::new(),
            phase: None,
            deadline: Instant::now(),
            watch: Vec::new(),
            watchdog: Watchdog {
                interval: None,
                pinged: Instant::now(),
                timer: None,
            },
        }
    }

    pub(super) fn condition(&self) -> Condition {
        self.service.lifecycle.condition(&self.name)
    }

    /// Where its cgroup is, or will be.
    pub(super) fn cgroup(&self) -> PathBuf {
        let path = [cgroup::ROOT, paths::SERVICES_CGROUP, "/", &self.name];
        path.concat().into()
    }

    /// Whether it has work to do, for which it activates the on-demand services that it waits for: it reads no section
    /// of the configuration, or there is something in the first.
    pub(super) fn has_work(&self) -> bool {
        let first = self.sections.first();
        first.is_none_or(|(_, section)| !matches!(section.json(), "null" | "{}" | "[]"))
    }

    /// Its main process as the host sees it.
    pub(super) fn main_pid(&self) -> Option<i32> {
        let first = self.running.as_ref().map(|running| running.pid);
        let main = self.main.as_ref().map(|main| main.pid).or(first);
        main.filter(|_| self.life.has_main())
    }

    /// Enters a state and ends what belonged to the previous one, which is returned.
    pub(super) fn enter(&mut self, life: Life) -> State {
        let before = std::mem::replace(&mut self.life, life).state;
        if before.word() != life.state.word() {
            self.since = since_boot();
            let (from, to) = (before.word(), life.state.word());
            log::debug!("{}: {from} -> {to}", self.name);
        }
        if !before.is_as(life.state) {
            self.phase = None;
            self.deadline = Instant::now();
            self.watch.clear();
            self.watchdog.timer = None;
        }
        if matches!(life.state, State::Stopped | State::Failed | State::Done) {
            // Callers are refused rather than left waiting for a service that does not come. A start opens them again.
            self.sockets.clear();
        }
        before
    }

    /// Opens its sockets, unless they are open.
    pub(super) fn open_sockets(&mut self) -> io::Result<()> {
        if self.sockets.is_empty() && !self.service.sockets.is_empty() {
            self.make_sources()?;
            self.sockets = sockets::open_all(&self.service)?;
        }
        Ok(())
    }

    /// Sends `what` after `wait`, in place of any timer armed before.
    pub(super) fn arm(
        &mut self,
        wait: Duration,
        what: crate::supervisor::state::Event,
        events: &UnboundedSender<Event>,
    ) {
        let event = UnitEvent::Happened {
            service: self.name.clone(),
            run: self.run,
            what,
        };
        self.deadline = Instant::now() + wait;
        self.phase = Some(Task::after(wait, event, events));
    }

    /// Keeps it from being activated during its backoff, after a run that ended too soon.
    pub(super) fn rest(&mut self, events: &UnboundedSender<Event>) {
        let wait = self.life.backoff;
        self.deadline = Instant::now() + wait;
        self.phase = (!wait.is_zero()).then(|| Task::after(wait, UnitEvent::Look, events));
    }

    /// Whether that backoff is not over yet.
    pub(super) fn rests(&self) -> bool {
        self.phase.is_some() && Instant::now() < self.deadline
    }
}

/// What may be set on a service when it is added.
pub(crate) struct Setup<'a>(pub(super) &'a mut Unit);

impl Setup<'_> {
    pub(crate) fn environment(&mut self, variable: String) {
        self.0.environment.push(variable);
    }

    /// Sets the sections that it reads.
    pub(crate) fn sections(&mut self, sections: Vec<(String, Section)>) {
        self.0.sections = sections;
    }

    /// Keeps it waiting until it is given arguments.
    pub(crate) fn await_arguments(&mut self) {
        self.0.triggers.insert(Trigger::Arguments);
    }
}

impl Watchdog {
    /// How long until the next ping is overdue; zero means that it is.
    pub(super) fn left(&self) -> Option<Duration> {
        let interval = self.interval.filter(|interval| !interval.is_zero())?;
        Some(interval.saturating_sub(self.pinged.elapsed()))
    }
}

impl Unit {
    /// Records a ping. One timer runs for an interval, however often the service pings meanwhile.
    pub(super) fn watchdog_pinged(&mut self, events: &UnboundedSender<Event>) {
        self.watchdog.pinged = Instant::now();
        let running = self.watchdog.timer.is_some();
        if let Some(left) = self.watchdog.left().filter(|_| !running) {
            let due = UnitEvent::WatchdogDue {
                service: self.name.clone(),
                run: self.run,
            };
            self.watchdog.timer = Some(Task::after(left, due, events));
        }
    }
}

/// `wait`, less up to a quarter, so that services that failed together do not come back together.
pub(super) fn jittered(wait: Duration, random: u64) -> Duration {
    // 2^-12 of the quarter is fine enough.
    let part = u32::try_from(random % 4096).unwrap_or(0);
    wait - wait / 4 / 4096 * part
}

/// A random number, which the standard library's hasher takes from the kernel.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_loses_a_quarter_at_most() {
        let wait = Duration::from_millis(16_384);
        for (random, want) in [(0, 16_384), (4096, 16_384), (2048, 14_336), (4095, 12_289)] {
            assert_eq!(
                jittered(wait, random),
                Duration::from_millis(want),
                "{random}"
            );
        }
    }

    #[test]
    fn randomness_differs() {
        assert_ne!(random(), random());
    }
}
