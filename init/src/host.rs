//! The machine: its configuration, network and services, and what an event means to them.

mod change;
mod configuration;
mod control;
mod disks;
mod exec;
mod facts;
mod files;
mod generations;
mod installed;
mod network;
mod secrets;
mod settings;
mod swap;
mod watchdogs;

use crate::clock::since_boot;
use crate::config::Loaded;
use crate::control::Control;
use crate::effect::power::Ending;
use crate::effect::watchdog::Watchdogs;
use crate::effect::{state, userdata};
use crate::event::{DiskEvent, Event, Expired, NetworkEvent, PowerEvent, UnitEvent};
use crate::network::Network;
use crate::plan::cmdline;
use crate::plan::facts::Fact;
use crate::plan::sections::All;
use crate::supervisor::{Supervisor, values};
use crate::task::Task;
use crate::timeline::{BASE, CONFIGURATION, NETWORK, Timeline};
use disks::Disks;
use installed::{Broken, Installed};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;
use tare_config::Machine;
use tare_config::service::Services;
use tare_control::{EventKind, Source};
use tokio::sync::mpsc::UnboundedSender;

/// The service that prepares the state partition; it starts first.
const STORAGE: &str = "storage";
/// The service that leases addresses, for the links that use DHCP.
const DHCP: &str = "dhcp";

/// After this long, services that need no state start without waiting for `storage`.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(30);
/// After this long without a default route, services that wait for one start anyway.
const NETWORK_PATIENCE: Duration = Duration::from_secs(30);
/// After this long, the required services that are not ready are logged.
const BOOT_PATIENCE: Duration = Duration::from_secs(120);
/// After this long, the machine ends whether services have ended or not. Each service has its own grace period before
/// that.
const END_PATIENCE: Duration = Duration::from_secs(90);

/// The machine as PID 1 keeps it.
pub(crate) struct Host {
    supervisor: Supervisor,
    network: Network,
    installed: Installed,
    machine: Machine,
    /// The sections of the configuration that services read.
    sections: All,
    /// The services that it describes.
    services: Services,
    /// Those that it disables.
    disabled: Services,
    disks: Disks,
    files: files::Files,
    secrets: secrets::Secrets,
    settings: settings::Settings,
    swap: swap::Swapping,
    /// Problems with user-data, one sentence each.
    rejected: Vec<String>,
    /// Those of sources that could not be used at all when this boot was configured.
    unusable: Vec<String>,
    /// The texts of the configuration, from the weakest to the strongest.
    sources: Vec<Source>,
    /// What the kernel's command line sets, as TOML.
    cmdline: String,
    /// What was logged about the configuration.
    said: BTreeSet<String>,
    broken: Broken,
    events: UnboundedSender<Event>,
    configured: Configured,
    ready: bool,
    /// Whether [`BOOT_PATIENCE`] passed before the machine was ready.
    late: bool,
    ending: Option<Ending>,
    timeline: Timeline,
    /// `None` if it cannot be opened; the machine runs without it.
    control: Option<Control>,
    event_log: control::EventLog,
    generations: generations::Generations,
    /// The facts as last written.
    facts: BTreeMap<String, String>,
    watchdogs: Watchdogs,
    timers: Timers,
}

/// Which configuration is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Configured {
    /// None yet: `storage` is still within its usual time.
    No,
    /// Without the state: `storage` is still working on it.
    WithoutState,
    Yes,
}

/// Timers. Each is dropped once what it waits for has happened.
#[derive(Default)]
struct Timers {
    /// The next ping of the hardware watchdogs.
    ping: Option<Task>,
    /// The wait for a default route.
    network: Option<Task>,
    /// The end of the lease that expires first.
    lease: Option<Task>,
    /// The wait for `storage`, then for the disks, then for files of user-data.
    storage: Option<Task>,
    /// The wait for the required services.
    boot: Option<Task>,
    /// The wait for all services to end.
    end: Option<Task>,
}

impl Host {
    /// Starts `storage` first: everything else happens while it works on the state partition.
    ///
    /// # Errors
    /// If the image's services cannot be listed.
    pub(crate) fn new(events: UnboundedSender<Event>, timeline: Timeline) -> io::Result<Self> {
        let installed = Installed::load()?;
        let mut supervisor = Supervisor::new(events.clone());
        start_storage(&mut supervisor, &installed);
        let control = Control::open(events.clone());
        let broken = installed.broken();
        Ok(Self {
            supervisor,
            network: Network::start(events.clone()),
            installed,
            machine: Machine::default(),
            sections: All::default(),
            services: Services::new(),
            disabled: Services::new(),
            disks: Disks::default(),
            files: files::Files::default(),
            secrets: secrets::Secrets::default(),
            settings: settings::Settings::default(),
            swap: swap::Swapping::default(),
            rejected: Vec::new(),
            unusable: Vec::new(),
            sources: Vec::new(),
            cmdline: cmdline::toml(&userdata::cmdline()),
            said: BTreeSet::new(),
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
            event_log: control::EventLog::new(),
            generations: generations::Generations::default(),
            facts: BTreeMap::new(),
            watchdogs: Watchdogs::default(),
            timers: Timers::default(),
        })
    }

    /// Starts what does not depend on the configuration.
    pub(crate) fn begin(&mut self) {
        self.watchdogs = Watchdogs::start(self.machine.watchdog.timeout.get());
        self.ping_watchdogs();
        self.read_sources();
        self.timers.storage = Some(self.after(STORAGE_TIMEOUT, DiskEvent::Late));
        self.timers.boot = Some(self.after(BOOT_PATIENCE, PowerEvent::BootLate));
        self.advance();
        self.timeline.stage_ended(BASE, since_boot());
    }

    /// Handles a batch of events. Returns how the machine ends once all services have ended, or their time is over.
    pub(crate) fn handle(&mut self, events: impl Iterator<Item = Event>) -> Option<Ending> {
        let mut over = false;
        for event in events {
            over |= matches!(event, Event::Power(PowerEvent::EndLate));
            self.take(event);
        }
        self.advance();
        let ended = over || self.supervisor.all_ended() && !self.generations.is_saving();
        self.ending.filter(|_| ended)
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Unit(UnitEvent::Notified {
                service,
                run,
                message,
            }) => self.notified(&service, run, &message),
            Event::Unit(event) => self.supervisor.take(event),
            Event::Network(event) => self.take_network(event),
            Event::Disk(DiskEvent::Done(done)) => self.job_done(done),
            Event::Disk(DiskEvent::Failed(job)) => self.job_failed(job),
            Event::Disk(DiskEvent::Late) => self.disks_late(),
            Event::Control(request) => self.asked(request),
            Event::Expired(Expired::Trial) => self.trial_over(),
            Event::Expired(Expired::Confirmation) => self.confirmation_over(),
            Event::Expired(Expired::Pull) => self.pull_over(),
            Event::Power(PowerEvent::BootLate) => self.boot_late(),
            Event::Power(PowerEvent::WatchdogDue) => self.ping_watchdogs(),
            Event::Power(PowerEvent::End(ending)) => self.end(ending),
            // `handle` ends the machine, whether services have ended or not.
            Event::Power(PowerEvent::EndLate) => {}
        }
    }

    /// Does what the last events have made possible.
    fn advance(&mut self) {
        let configures = self.configured != Configured::Yes && self.ending.is_none();
        if configures && self.supervisor.has_ended(STORAGE) {
            self.timeline.stage(CONFIGURATION, since_boot(), &[STORAGE]);
            if !self.generations.is_prepared() && self.has_disks() {
                self.prepare();
            }
        }
        self.tell_changes();
        if self.configured == Configured::Yes && !self.ready && self.missing().is_empty() {
            self.ready = true;
            self.timers.boot = None;
            let now = since_boot();
            self.timeline.ready(now);
            self.tell_machine(EventKind::Ready, String::new());
            log::info!("ready in {:.3} s", now.as_secs_f64());
            if let Some(twins) = Self::twins() {
                log::error!("{twins}");
            }
        }
        self.settle();
    }

    /// Takes on the configuration and starts everything that depends on it.
    fn configure(&mut self, loaded: Loaded) {
        let early = self.configured == Configured::WithoutState;
        self.configured = Configured::Yes;
        self.take_configuration(loaded, early);
        self.begin_trial();
        self.write_facts();
        let now = since_boot();
        self.timeline.stage_ended(CONFIGURATION, now);
        self.timeline.stage(NETWORK, now, &[CONFIGURATION]);
        if early {
            self.supervisor.restart_users_of_volumes();
        }
        self.fill_state();
        self.timeline.close_at(now + BOOT_PATIENCE);
        self.timers.network = Some(self.after(NETWORK_PATIENCE, NetworkEvent::Late));
        self.refresh_network();
    }

    /// The required services that are not ready, and those that cannot be loaded.
    fn missing(&self) -> Vec<&str> {
        let missing = self.supervisor.missing().into_iter();
        missing.chain(self.broken.required()).collect()
    }

    fn boot_late(&mut self) {
        // The event may have been queued before the machine became ready.
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

    /// Begins to end the machine. A second request only changes how it ends.
    fn end(&mut self, ending: Ending) {
        let word = match ending {
            Ending::PowerOff => "power off",
            Ending::Reboot => "reboot",
        };
        // Lets a service that is being stopped see whether the machine ends too.
        self.write(vec![Fact {
            name: "ending".to_owned(),
            text: format!("{word}\n"),
        }]);
        if self.ending.replace(ending).is_none() {
            log::info!("{word}: stopping services");
            self.tell_machine(EventKind::Ending, String::new());
            self.timers.end = Some(self.after(END_PATIENCE, PowerEvent::EndLate));
            self.forgive_boot();
            self.supervisor.begin_end();
        }
    }

    fn after(&self, wait: Duration, event: impl Into<Event>) -> Task {
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
