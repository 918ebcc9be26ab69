//! The boot, as a table of contents.

use crate::clock::since_boot;
use crate::effect::power::{self, Ending};
use crate::effect::readable::until_readable;
use crate::effect::uevents::Uevents;
use crate::effect::{
    button, cgroups, clock, limits, memory, modules, mounts, nodes, signals, sysctl,
};
use crate::event::{Event, NetworkEvent, PowerEvent, UnitEvent};
use crate::host::Host;
use crate::timeline::Timeline;
use crate::{kmsg, links, plan, shutdown};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

/// Takes up to this many queued events per pass, so that `advance()` runs once per batch.
const BATCH: usize = 64;

/// The wait before a retry when descriptors, processes or memory have run out.
const RECOVER: Duration = Duration::from_secs(1);

/// How long to wait for further devices before links are made: a disk comes with its partitions.
const SETTLE: Duration = Duration::from_millis(100);

/// How many devices get their modules loaded at a time. Setting one up may take seconds.
const LOADERS: usize = 4;

/// Signals that power the machine off, besides systemd's (`systemd(1)`, SIGNALS): the ones that anyone would try
/// first. The kernel's ctrl-alt-del is a SIGINT.
const POWER_OFF_SIGNALS: [i32; 2] = [nix::libc::SIGTERM, nix::libc::SIGINT];

/// Boots the machine and runs it until it ends.
pub(crate) fn boot() -> ! {
    let timeline = Timeline::new(since_boot());
    // The kernel has mounted /dev. If its log cannot be opened, there is nowhere to report that.
    let _ = kmsg::init();
    std::panic::set_hook(Box::new(shutdown::panicked));
    log::info!("Tare {}", env!("CARGO_PKG_VERSION"));
    match mounts::apply(&plan::mounts::base()) {
        Ok(missing) => missing.iter().for_each(|error| log::debug!("{error}")),
        Err(error) => give_up(&error.to_string()),
    }
    report("kernel log", kmsg::lift_limit());
    report("sysctl", sysctl::apply_ours());
    report("device nodes", nodes::make());
    report("faults", signals::leave_faults());
    report("limits", limits::lift());
    report("memory", memory::shrink_reserve());
    report("memory", memory::lock());
    report("cgroups", tare_container::cgroup::prepare());
    report("cgroups", cgroups::protect());
    report("kernel log", kmsg::relay());
    match clock::reach_image() {
        Ok(true) => log::warn!("the clock was behind; set it to the image's time"),
        Ok(false) => {}
        Err(error) => log::error!("clock: {error}"),
    }
    report("ctrl-alt-del", power::take_ctrl_alt_del());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => LocalSet::new().block_on(&runtime, run(timeline)),
        Err(error) => give_up(&format!("event loop: {error}")),
    }
}

/// Logs a failure of `what`; the boot continues without it.
fn report<E: std::fmt::Display>(what: &str, result: Result<(), E>) {
    if let Err(error) = result {
        log::error!("{what}: {error}");
    }
}

/// Reboots: nothing can run without what failed.
fn give_up(why: &str) -> ! {
    kmsg::settle();
    log::error!("boot cannot go on: {why}");
    power::end(Ending::Reboot)
}

/// Runs the event loop. Everything after the base filesystems is a response to an event.
async fn run(timeline: Timeline) -> ! {
    let (events, mut inbox) = unbounded_channel();
    watch_signals(&events);
    watch_uevents();
    spawn_local(link_for_ever());
    let buttons = watch_buttons(&events, &[]);
    let mut host = match Host::new(events.clone(), timeline) {
        Ok(host) => host,
        Err(error) => give_up(&error.to_string()),
    };
    start_coldplug(events, buttons);
    host.begin();
    let mut batch = Vec::new();
    while inbox.recv_many(&mut batch, BATCH).await > 0 {
        if let Some(ending) = host.handle(batch.drain(..)) {
            shutdown::finish(ending, host.leave_watchdogs());
        }
    }
    give_up("no sender of events is left")
}

/// Loads the modules of devices that are already present, in parallel with everything else. Some may be power buttons,
/// besides those that are `watched` already.
fn start_coldplug(events: UnboundedSender<Event>, watched: Vec<PathBuf>) {
    let plugging = modules::start_coldplug();
    spawn_local(async move {
        match plugging {
            Ok(plugging) => until_readable(plugging).await,
            Err(error) => log::error!("cold plug: {error}"),
        }
        watch_buttons(&events, &watched);
        let _ = events.send(NetworkEvent::ColdPlugged.into());
    });
}

fn watch_signals(events: &UnboundedSender<Event>) {
    forward(SignalKind::child(), events, || UnitEvent::ChildEnded.into());
    for number in POWER_OFF_SIGNALS {
        forward(SignalKind::from_raw(number), events, || {
            PowerEvent::End(Ending::PowerOff).into()
        });
    }
    let real_time = |offset| SignalKind::from_raw(nix::libc::SIGRTMIN() + offset);
    forward(real_time(4), events, || {
        PowerEvent::End(Ending::PowerOff).into()
    });
    forward(real_time(5), events, || {
        PowerEvent::End(Ending::Reboot).into()
    });
}

fn forward(kind: SignalKind, events: &UnboundedSender<Event>, event: fn() -> Event) {
    let events = events.clone();
    match signal(kind) {
        Ok(mut stream) => drop(spawn_local(async move {
            while stream.recv().await.is_some() && events.send(event()).is_ok() {}
        })),
        Err(error) => log::error!("signal {}: {error}", kind.as_raw_value()),
    }
}

/// Loads the modules of devices that are added from now on.
fn watch_uevents() {
    match Uevents::listen() {
        Ok(uevents) => drop(spawn_local(load_for_ever(uevents))),
        Err(error) => log::error!("uevents: {error}"),
    }
}

/// An empty alias asks for a cold plug, which finds every device that was missed or could not be handled. While all
/// [`LOADERS`] are busy, the kernel's queue fills and may overflow.
async fn load_for_ever(uevents: Uevents) {
    let loaders = Arc::new(Semaphore::new(LOADERS));
    while let Ok(loader) = Arc::clone(&loaders).acquire_owned().await {
        let mut alias = match uevents.next_alias().await {
            Ok(alias) => alias,
            Err(error) => {
                log::error!("uevents: {error}");
                sleep(RECOVER).await;
                String::new()
            }
        };
        let loading = loop {
            match modules::start_loading(&alias) {
                Ok(loading) => break loading,
                Err(error) => log::error!("modprobe: {error}"),
            }
            sleep(RECOVER).await;
            alias.clear();
        };
        spawn_local(async move {
            until_readable(loading).await;
            drop(loader);
        });
    }
}

/// Makes links to devices, and makes them anew whenever one comes or goes. A disk that does not answer keeps this waiting,
/// and nothing else.
async fn link_for_ever() {
    loop {
        match link_until_change().await {
            Ok(()) => sleep(SETTLE).await,
            Err(error) => {
                log::error!("links to devices: {error}");
                sleep(RECOVER).await;
            }
        }
    }
}

/// Listens anew each time: the process sees what earlier events were about.
async fn link_until_change() -> io::Result<()> {
    let uevents = Uevents::listen()?;
    until_readable(links::start()?).await;
    uevents.next_change(links::concern).await
}

/// Watches the power buttons that are not `watched`. Returns all.
fn watch_buttons(events: &UnboundedSender<Event>, watched: &[PathBuf]) -> Vec<PathBuf> {
    let found = button::find();
    for device in found.iter().filter(|device| !watched.contains(device)) {
        spawn_local(watch_button(device.clone(), events.clone()));
    }
    found
}

async fn watch_button(device: PathBuf, events: UnboundedSender<Event>) {
    while device.exists() {
        match button::pressed(&device).await {
            Ok(()) => drop(events.send(PowerEvent::End(Ending::PowerOff).into())),
            Err(error) => {
                log::debug!("{}: {error}", device.display());
                sleep(RECOVER).await;
            }
        }
    }
}
