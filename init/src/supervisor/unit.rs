//! A service under supervision: its description, bundle, life and what runs of it.

use super::event::Event;
use super::notify::Notify;
use super::output::Output;
use super::reap::Outcome;
use super::sockets;
use super::state::{Life, State};
use crate::clock::since_boot;
use crate::task::Task;
use std::cell::Cell;
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
    /// When it came into its state (`CLOCK_BOOTTIME`).
    pub(super) since: Duration,
    /// What it last said of itself.
    pub(super) text: String,
    /// How its last run ended.
    pub(super) last_exit: Option<String>,
    /// Microseconds of a processor that ended runs have used: each had a cgroup of its own.
    pub(super) used: Rc<Cell<u64>>,
    /// Counts runs, so that what an earlier run caused is known as stale.
    pub(super) run: u64,
    pub(super) running: Option<Running>,
    /// The process that the service named as its main one, where that is not its first.
    pub(super) main: Option<MainProcess>,
    pub(super) started: Instant,
    /// What is added to its arguments at each start.
    pub(super) arguments: Vec<String>,
    /// What is added to its environment at each start.
    pub(super) environment: Vec<String>,
    /// Sections of the configuration it may read: name and JSON.
    pub(super) sections: Vec<(String, String)>,
    /// False keeps it waiting although its conditions hold.
    pub(super) wanted: bool,
    /// Whether it is time for it: false for a periodic service between two runs.
    pub(super) due: bool,
    /// Whether somebody needs it: false for one that starts on demand until then.
    pub(super) needed: bool,
    /// Whether it waits for services that start on demand without needing them.
    pub(super) patient: bool,
    /// None before its first start, and for what writes to the kernel's log.
    pub(super) output: Option<Output>,
    /// Drains its pipes while no log service reads them.
    pub(super) drain: Option<[Task; 2]>,
    /// Whether the log service that runs now has its pipes.
    pub(super) collected: bool,
    /// Whether a child exists of which it is not known yet whether it became the program.
    pub(super) launching: bool,
    /// How that child ended meanwhile.
    pub(super) ended: Option<Outcome>,
    pub(super) notify: Option<Notify>,
    /// What it listens on, held over its restarts.
    pub(super) sockets: Vec<OwnedFd>,
    /// The end of what its state waits for, and when that is, or is to be at the earliest.
    pub(super) phase: Option<Task>,
    pub(super) deadline: Instant,
    /// What watches it in its state: probes, sockets.
    pub(super) watch: Vec<Task>,
    pub(super) watchdog: Watchdog,
}

/// A main process that is not the first one of its container.
pub(super) struct MainProcess {
    pub(super) pid: i32,
    /// None where it took the place of the first one.
    pub(super) pidfd: Option<OwnedFd>,
    pub(super) _watch: Task,
}

/// What a service has to feed.
pub(super) struct Watchdog {
    pub(super) interval: Option<Duration>,
    pub(super) fed: Instant,
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
            last_exit: None,
            used: Rc::default(),
            run: 0,
            running: None,
            main: None,
            started: Instant::now(),
            arguments: Vec::new(),
            environment: Vec::new(),
            sections: Vec::new(),
            wanted: true,
            due: true,
            needed: true,
            patient: false,
            output: None,
            drain: None,
            collected: false,
            launching: false,
            ended: None,
            notify: None,
            sockets: Vec::new(),
            phase: None,
            deadline: Instant::now(),
            watch: Vec::new(),
            watchdog: Watchdog {
                interval: None,
                fed: Instant::now(),
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

    /// Its main process as the host sees it.
    pub(super) fn main_pid(&self) -> Option<i32> {
        let first = self.running.as_ref().map(|running| running.pid);
        let main = self.main.as_ref().map(|main| main.pid).or(first);
        main.filter(|_| self.life.has_main())
    }

    /// The state that it comes into; what belonged to the one before ends.
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
        if life.state == State::Stopped {
            // Callers are refused rather than left waiting for a service that does not come.
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

    /// Ends its phase with `event` after `wait`, whatever was to end it before.
    pub(super) fn arm(
        &mut self,
        wait: Duration,
        what: super::state::Event,
        events: &UnboundedSender<Event>,
    ) {
        let event = Event::Happened {
            service: self.name.clone(),
            run: self.run,
            what,
        };
        self.deadline = Instant::now() + wait;
        self.phase = Some(Task::after(wait, event, events));
    }

    /// After an end that came soon after its start, nobody needs it for as long as its backoff says.
    pub(super) fn rest(&mut self, events: &UnboundedSender<Event>) {
        let wait = self.life.backoff;
        self.deadline = Instant::now() + wait;
        self.phase = (!wait.is_zero()).then(|| Task::after(wait, Event::Look, events));
    }

    /// Whether that time is not over.
    pub(super) fn rests(&self) -> bool {
        self.phase.is_some() && Instant::now() < self.deadline
    }
}

/// What may be set on a service when it is taken in charge.
pub(crate) struct Setup<'a>(pub(super) &'a mut Unit);

impl Setup<'_> {
    pub(crate) fn environment(&mut self, variable: String) {
        self.0.environment.push(variable);
    }

    /// A service that reads sections and finds nothing in them needs nobody: what starts on demand does
    /// not start for it.
    pub(crate) fn sections(&mut self, sections: Vec<(String, String)>) {
        let empty = |(_, json): &(String, String)| matches!(&**json, "null" | "{}" | "[]");
        self.0.patient = !sections.is_empty() && sections.iter().all(empty);
        self.0.sections = sections;
    }

    /// Keeps it waiting until it is given arguments.
    pub(crate) fn hold(&mut self) {
        self.0.wanted = false;
    }
}
