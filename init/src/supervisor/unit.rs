//! A service under supervision: its description, bundle, life and what runs of it.

use super::event::Event;
use super::notify;
use super::output::{self, Collector, Output};
use super::reap::Outcome;
use super::state::Life;
use crate::clock::since_boot;
use crate::effect::facts::write_sections;
use crate::effect::files::make_directory;
use crate::plan::services::{SourceDirectory, source_directories};
use nix::sys::signal::Signal;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::{Duration, Instant};
use tare_config::service::{Condition, Ready, Service, StopSignal};
use tare_container::{Bundle, Launch, LaunchError, Running, Starting};
use tokio::sync::mpsc::UnboundedSender;

/// Why a service could not be started.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("prepare {what}: {source}")]
    Prepare { what: String, source: io::Error },
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

fn preparing(what: impl Into<String>) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Prepare {
        what: what.into(),
        source,
    }
}

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
    pub(super) last_exit: Option<Outcome>,
    /// Counts runs, so that a timer or probe of an earlier run is known as stale.
    pub(super) run: u64,
    pub(super) running: Option<Running>,
    pub(super) started: Instant,
    /// What is added to its arguments at each start.
    pub(super) arguments: Vec<String>,
    /// What is added to its environment at each start.
    pub(super) environment: Vec<String>,
    /// Sections of the configuration it may read: name and JSON.
    pub(super) sections: Vec<(String, String)>,
    /// False keeps it waiting although its conditions hold.
    pub(super) wanted: bool,
    /// None before its first start, and for what writes to the kernel's log.
    pub(super) output: Option<Output>,
    /// Whether the log service that runs now has its pipes.
    pub(super) collected: bool,
    /// Whether a child exists of which it is not known yet whether it became the program.
    pub(super) launching: bool,
    listening: bool,
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
            run: 0,
            running: None,
            started: Instant::now(),
            arguments: Vec::new(),
            environment: Vec::new(),
            sections: Vec::new(),
            wanted: true,
            output: None,
            collected: false,
            launching: false,
            listening: false,
        }
    }

    pub(super) fn is_launching(&self) -> bool {
        self.launching
    }

    pub(super) fn condition(&self) -> Condition {
        super::conditions::of_service(&self.name, &self.service.lifecycle)
    }

    /// Whether it writes to the kernel's log: the collector itself, and what has to work before
    /// there can be a collector.
    fn writes_to_kmsg(&self) -> bool {
        self.service.process.collects_output
            || self.service.lifecycle.after.is_empty() && self.is_oneshot()
    }

    fn is_oneshot(&self) -> bool {
        self.service.lifecycle.kind == tare_config::service::Kind::Oneshot
    }

    /// Begins to run its program. The line to the log service comes back if this is that service.
    pub(super) fn start(
        &mut self,
        events: &UnboundedSender<Event>,
    ) -> Result<(Starting, Option<Collector>), StartError> {
        self.run += 1;
        self.started = Instant::now();
        self.running = None;
        self.prepare(events)?;
        let (stdout, stderr) = self.stdio().map_err(preparing("output"))?;
        let line = self
            .service
            .process
            .collects_output
            .then(Collector::pair)
            .transpose();
        let (ours, theirs) = line.map_err(preparing("line to the log"))?.unzip();
        let descriptors: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
        let launch = Launch {
            stdio: [None, Some(stdout.as_fd()), Some(stderr.as_fd())],
            descriptors: &descriptors,
            arguments: &self.arguments,
            environment: &self.environment,
        };
        Ok((tare_container::start(&self.bundle, &launch)?, ours))
    }

    /// Sends its stop signal.
    pub(super) fn signal(&self) {
        let Some(running) = &self.running else { return };
        if let Err(error) = running.signal(signal_of(self.service.lifecycle.stop.signal)) {
            log::warn!("{}: signal: {error}", self.name);
        }
    }

    /// Kills what is left of it.
    pub(super) fn kill(&self) {
        let Some(running) = &self.running else { return };
        if let Err(error) = running.kill() {
            log::warn!("{}: kill: {error}", self.name);
        }
    }

    fn prepare(&mut self, events: &UnboundedSender<Event>) -> Result<(), StartError> {
        let owner = self.owner();
        for directory in source_directories(&self.service) {
            make_source(&directory, owner).map_err(preparing(directory.path.to_string_lossy()))?;
        }
        if !self.service.process.config.is_empty() {
            write_sections(&self.name, owner, &self.sections)
                .map_err(preparing("configuration"))?;
        }
        if self.service.lifecycle.ready == Ready::Notify && !self.listening {
            notify::listen(&self.name, events.clone()).map_err(preparing("notify socket"))?;
            self.listening = true;
        }
        Ok(())
    }

    /// The user that its process runs as.
    fn owner(&self) -> u32 {
        self.bundle
            .spec
            .process()
            .as_ref()
            .map_or(0, |process| process.user().uid())
    }

    fn stdio(&mut self) -> io::Result<(OwnedFd, OwnedFd)> {
        if self.writes_to_kmsg() {
            return output::kmsg();
        }
        if self.output.is_none() {
            self.output = Some(Output::new()?);
        }
        match &self.output {
            Some(output) => output.write_ends(),
            None => output::kmsg(),
        }
    }
}

/// Makes a directory behind a mount; an existing one keeps its owner, which the service may have set.
fn make_source(directory: &SourceDirectory, owner: u32) -> io::Result<()> {
    if Path::is_dir(&directory.path) {
        return Ok(());
    }
    make_directory(&directory.path, directory.mode)?;
    if directory.owned {
        chown(&directory.path, Some(owner), Some(owner))?;
    }
    Ok(())
}

/// The kernel's signal for a service's stop signal.
fn signal_of(signal: StopSignal) -> Signal {
    match signal {
        StopSignal::Term => Signal::SIGTERM,
        StopSignal::Int => Signal::SIGINT,
        StopSignal::Hup => Signal::SIGHUP,
        StopSignal::Quit => Signal::SIGQUIT,
        StopSignal::Kill => Signal::SIGKILL,
    }
}

/// What may be set on a service when it is taken in charge.
pub(crate) struct Setup<'a>(pub(super) &'a mut Unit);

impl Setup<'_> {
    pub(crate) fn environment(&mut self, variable: String) {
        self.0.environment.push(variable);
    }

    pub(crate) fn sections(&mut self, sections: Vec<(String, String)>) {
        self.0.sections = sections;
    }

    /// Keeps it waiting until it is given arguments.
    pub(crate) fn hold(&mut self) {
        self.0.wanted = false;
    }
}
