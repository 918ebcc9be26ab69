//! The machine: its configuration, network and services, and what an event means to them.

mod control;
mod disks;
mod exec;
mod facts;
mod installed;
mod network;
mod watchdogs;

use crate::clock::since_boot;
use crate::control::Control;
use crate::effect::power::Ending;
use crate::effect::state;
use crate::effect::watchdog::Watchdogs;
use crate::network::Network;
use crate::plan::facts::Fact;
use crate::plan::services::resolve;
use crate::supervisor::{Event, Supervisor, values};
use crate::task::Task;
use crate::timeline::{BASE, CONFIGURATION, NETWORK, Timeline};
use crate::{config, plan};
use disks::Disks;
use installed::Installed;
use std::collections::BTreeMap;
use std::io;
use std::time::Duration;
use tare_config::Machine;
use tare_config::service::{Condition, Service};
use tare_control::EventKind;
use tokio::sync::mpsc::UnboundedSender;

/// The service that makes the state partition ready, the first of all.
const STORAGE: &str = "storage";
/// The service that leases addresses; it runs for the links that want one.
const DHCP: &str = "dhcp";

/// After this long, what needs no state goes on without `storage`.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long without a way out, what waits for one goes on.
const NETWORK_PATIENCE: Duration = Duration::from_secs(30);
/// After this long, services that are missing are named.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// After this long, the end comes whether services have ended or not. Every service has its own
/// grace before.
const END_PATIENCE: Duration = Duration::from_secs(90);

/// The machine as PID 1 keeps it.
pub(crate) struct Host {
    supervisor: Supervisor,
    network: Network,
    installed: Installed,
    machine: Machine,
    disks: Disks,
    /// What is wrong with user-data, a sentence each.
    rejected: Vec<String>,
    /// The services that cannot be loaded: a machine without them is not ready.
    broken: Vec<String>,
    events: UnboundedSender<Event>,
    /// Whether there is a configuration, that of a machine without its state included.
    configured: Configured,
    ready: bool,
    /// Whether the required services had their time.
    late: bool,
    ending: Option<Ending>,
    timeline: Timeline,
    /// None if it cannot be opened: the machine goes on without.
    control: Option<Control>,
    news: control::News,
    /// The facts as they were written last.
    facts: BTreeMap<&'static str, String>,
    watchdogs: Watchdogs,
    timers: Timers,
}

/// Which configuration is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Configured {
    /// None: `storage` has the time that it usually takes.
    No,
    /// Without the state, which `storage` still works on.
    WithoutState,
    Yes,
}

/// What has a time. What has happened before it is waited for no longer.
#[derive(Default)]
struct Timers {
    /// The watchdogs are fed next.
    meal: Option<Task>,
    /// There is a way out.
    network: Option<Task>,
    /// The next lease is over.
    lease: Option<Task>,
    /// `storage` has ended.
    storage: Option<Task>,
    /// The required services are ready.
    boot: Option<Task>,
    /// All services have ended.
    end: Option<Task>,
}

impl Host {
    /// The state partition comes first: what else there is to do is done while `storage` works.
    ///
    /// # Errors
    /// If the image's services cannot be listed.
    pub(crate) fn new(events: UnboundedSender<Event>, timeline: Timeline) -> io::Result<Self> {
        let installed = Installed::load()?;
        let mut supervisor = Supervisor::new(events.clone());
        start_storage(&mut supervisor, &installed);
        let control = Control::open(events.clone());
        let broken = installed.unreadable().to_vec();
        Ok(Self {
            supervisor,
            network: Network::start(events.clone()),
            installed,
            machine: Machine::default(),
            disks: Disks::default(),
            rejected: Vec::new(),
            broken,
            events,
            configured: Configured::No,
            ready: false,
            late: false,
            ending: None,
            timeline,
            control: control
                .map_err(|error| log::error!("control socket: {error}"))
                .ok(),
            news: control::News::new(),
            facts: BTreeMap::new(),
            watchdogs: Watchdogs::default(),
            timers: Timers::default(),
        })
    }

    /// What does not wait for the configuration.
    pub(crate) fn begin(&mut self) {
        self.watchdogs = Watchdogs::start(self.machine.watchdog.timeout.get());
        self.feed_watchdogs();
        self.read_sources();
        self.timers.storage = Some(self.after(STORAGE_TIMEOUT, Event::StorageLate));
        self.timers.boot = Some(self.after(BOOT_PATIENCE, Event::BootLate));
        self.advance();
        self.timeline.stage_ended(BASE, since_boot());
    }

    /// Takes in what has happened. The machine's end comes back when everything has ended.
    pub(crate) fn handle(&mut self, events: impl Iterator<Item = Event>) -> Option<Ending> {
        let mut over = false;
        for event in events {
            over |= matches!(event, Event::EndLate);
            self.take(event);
        }
        self.advance();
        let ended = over || self.supervisor.all_ended();
        self.ending.filter(|_| ended)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::ChildEnded => self.supervisor.reap(),
            Event::Launched {
                service,
                run,
                result,
            } => self.supervisor.launched(&service, run, result),
            Event::Happened { service, run, what } => self.supervisor.happened(&service, run, what),
            Event::WatchdogDue { service, run } => self.supervisor.watchdog_due(&service, run),
            Event::MainEnded { service, run, pid } => {
                self.supervisor.main_ended(&service, run, pid)
            }
            Event::Probe {
                service,
                run,
                args,
                done,
            } => self.supervisor.probe(&service, run, &args, done),
            Event::ProbeLate => self.supervisor.probe_late(),
            Event::Due { service } => self.supervisor.due(&service),
            Event::SocketUsed { service } => self.supervisor.needed(&service),
            Event::Look => self.supervisor.look(),
            Event::FactPauseOver => self.supervisor.fact_pause_over(),
            Event::StartMore => self.supervisor.start_more(),
            Event::Notified {
                service,
                run,
                message,
            } => self.notified(&service, run, &message),
            Event::ColdPlugged => {
                self.network.cold_plugged();
                self.refresh_network();
            }
            Event::Network(report) => {
                self.network.reported(report);
                self.refresh_network();
            }
            Event::LeaseLate => self.refresh_network(),
            Event::NetworkLate => self.network_late(),
            Event::JobDone(done) => self.job_done(done),
            Event::JobFailed(job) => self.job_failed(job),
            Event::StorageLate => self.disks_late(),
            Event::BootLate => self.boot_late(),
            Event::Asked(question) => self.asked(question),
            Event::End(ending) => self.end(ending),
            Event::HardwareWatchdogDue => self.feed_watchdogs(),
            // Whether services have ended or not.
            Event::EndLate => {}
        }
    }

    /// What becomes possible when something else has happened.
    fn advance(&mut self) {
        let configures = self.configured != Configured::Yes && self.ending.is_none();
        if configures && self.supervisor.has_ended(STORAGE) {
            self.timeline.stage(CONFIGURATION, since_boot(), &[STORAGE]);
            if self.has_disks() {
                self.timers.storage = None;
                self.configure();
            }
        }
        self.tell_changes();
        if self.configured == Configured::Yes && !self.ready && self.missing().is_empty() {
            self.ready = true;
            self.timers.boot = None;
            self.remember();
            let now = since_boot();
            self.timeline.ready(now);
            self.tell_machine(EventKind::Ready, String::new());
            log::info!("ready in {:.3} s", now.as_secs_f64());
            if let Some(twins) = Self::twins() {
                log::error!("{twins}");
            }
        }
    }

    /// Reads the configuration and lets everything go that follows from it.
    fn configure(&mut self) {
        let early = self.configured == Configured::WithoutState;
        self.configured = Configured::Yes;
        self.take_configuration();
        self.write_facts();
        let now = since_boot();
        self.timeline.stage_ended(CONFIGURATION, now);
        self.timeline.stage(NETWORK, now, &[CONFIGURATION]);
        if early {
            self.supervisor.restart_users_of_volumes();
        }
        self.supervisor.set(Condition::StateMounted);
        self.timeline.close_at(now + BOOT_PATIENCE);
        self.timers.network = Some(self.after(NETWORK_PATIENCE, Event::NetworkLate));
        self.refresh_network();
    }

    /// Reads the configuration, and adds the services that may start now.
    fn take_configuration(&mut self) {
        let with_state = self.configured == Configured::Yes;
        let names = self.installed.names();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (sources, remembered) = self.disks.user_data();
        let loaded = config::load(&names, &sources, &remembered);
        self.machine = loaded.machine;
        self.rejected = loaded.problems;
        self.disks.accept(loaded.accepted);
        self.set_watchdogs();
        self.allow_others();
        self.add_services(with_state);
    }

    /// Adds the services; without the state, only those that do not need it.
    fn add_services(&mut self, with_state: bool) {
        let resolved = resolve(&self.installed.services(), &self.machine);
        let mut complaints = resolved.complaints;
        if self.machine.services.contains_key(STORAGE) {
            complaints.push(format!(
                "service {STORAGE}: it runs before user-data is read; override ignored"
            ));
        }
        for complaint in complaints {
            log::error!("user-data: {complaint}");
            self.rejected
                .push(format!("user-data is ignored: {complaint}"));
        }
        let collects = |service: &Service| service.process.collects_output;
        self.supervisor
            .expect_log(resolved.services.values().any(collects));
        for (name, service) in resolved.services {
            let needs_state = service.lifecycle.after.contains(&Condition::StateMounted);
            if self.supervisor.knows(&name) || needs_state && !with_state {
                continue;
            }
            let Some(bundle) = installed::bundle(&name, &service) else {
                // Once, although services are added twice where `storage` takes long.
                if service.lifecycle.required && !self.broken.contains(&name) {
                    self.broken.push(name);
                }
                continue;
            };
            let sections = plan::sections::of(&service, &self.machine);
            let mut setup = self.supervisor.add(&name, service, bundle);
            setup.sections(sections);
            if name == DHCP {
                setup.hold();
            }
        }
    }

    /// The required services that are not ready, and those that nobody can start.
    fn missing(&self) -> Vec<&str> {
        let broken = self.broken.iter().map(String::as_str);
        self.supervisor
            .missing()
            .into_iter()
            .chain(broken)
            .collect()
    }

    fn boot_late(&mut self) {
        // The event may be older than the machine's readiness.
        if self.ready {
            return;
        }
        self.late = true;
        let mut missing = self.missing();
        if self.configured != Configured::Yes {
            missing.insert(0, "storage (still checking the state)");
        }
        log::error!(
            "not ready after {} s: {}",
            BOOT_PATIENCE.as_secs(),
            missing.join(", ")
        );
    }

    fn notified(&mut self, service: &str, run: u64, message: &str) {
        self.supervisor.notified(service, run, message);
        if service != DHCP {
            return;
        }
        let lost: Vec<&str> = values(message, "X_TARE_LEASE_LOST").collect();
        let leased: Vec<&str> = values(message, "X_TARE_LEASE").collect();
        lost.iter()
            .for_each(|interface| self.network.lease_lost(interface));
        leased
            .iter()
            .for_each(|json| self.network.lease(&self.machine, json));
        if !lost.is_empty() || !leased.is_empty() {
            self.write_facts();
            self.refresh_network();
        }
    }

    /// Begins the end; a second wish changes how it ends, not that it does.
    fn end(&mut self, ending: Ending) {
        let word = match ending {
            Ending::PowerOff => "power off",
            Ending::Reboot => "reboot",
        };
        // So that a service that is told to end knows whether the machine ends too.
        self.write(vec![Fact {
            name: "ending",
            text: format!("{word}\n"),
        }]);
        if self.ending.replace(ending).is_none() {
            log::info!("{word}: stopping services");
            self.tell_machine(EventKind::Ending, String::new());
            self.timers.end = Some(self.after(END_PATIENCE, Event::EndLate));
            self.supervisor.begin_end();
        }
    }

    fn after(&self, wait: Duration, event: Event) -> Task {
        Task::after(wait, event, &self.events)
    }
}

fn start_storage(supervisor: &mut Supervisor, installed: &Installed) {
    let Some(partition) = state::find() else {
        log::error!("there is no state partition beside the system's");
        return;
    };
    let Some(service) = installed.get(STORAGE) else {
        return;
    };
    let Some(bundle) = installed::bundle(STORAGE, &service) else {
        return;
    };
    supervisor
        .add(STORAGE, service, bundle)
        .environment(format!("STATE_DEVICE={}", partition.display()));
    supervisor.start_eligible();
}
