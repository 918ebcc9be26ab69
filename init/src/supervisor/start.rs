//! Starts a service: from its description to a process. Between clone and exec, PID 1 does other things.

use super::notify::Notify;
use super::output::{self, Collector, Output};
use super::unit::Unit;
use crate::effect::facts::write_sections;
use crate::effect::files::make_directory;
use crate::effect::mounts::{self, share};
use crate::effect::readable::readable;
use crate::effect::sockets;
use crate::event::{Event, UnitEvent};
use crate::plan::services::{SourceDirectory, source_directories};
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::time::Duration;
use std::time::Instant;
use tare_config::service::Kind;
use tare_container::{Launch, LaunchError, Starting};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;

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

impl Unit {
    /// Begins to run its program; `is_logged` if there is a log service. If this is that service, returns our end of
    /// the socket to it.
    pub(super) fn start(
        &mut self,
        events: &UnboundedSender<Event>,
        is_logged: bool,
    ) -> Result<(Starting, Option<Collector>), StartError> {
        self.begin_run();
        let environment = self.run_environment();
        self.catches_up = false;
        self.prepare(events)?;
        let (stdout, stderr) = self.stdio(is_logged).map_err(preparing("output"))?;
        let collects = self.service.process.collects_output;
        let line = collects.then(Collector::pair).transpose();
        let (ours, theirs) = line.map_err(preparing("line to the log"))?.unzip();
        let sockets = self.sockets.iter().map(AsFd::as_fd);
        let descriptors: Vec<BorrowedFd<'_>> =
            sockets.chain(theirs.iter().map(AsFd::as_fd)).collect();
        let launch = Launch {
            stdio: [None, Some(stdout.as_fd()), Some(stderr.as_fd())],
            descriptors: &descriptors,
            arguments: &self.arguments,
            environment: &environment,
            pid_variables: self.pid_variables(),
        };
        Ok((tare_container::start(&self.bundle, &launch)?, ours))
    }

    fn begin_run(&mut self) {
        self.run += 1;
        self.started = Instant::now();
        self.running = None;
        self.main = None;
        self.launch = None;
        self.text.clear();
        self.problem.clear();
        self.watchdog.interval = self.service.lifecycle.watchdog.map(|span| span.0);
    }

    /// The variables added to its environment, for this run and for all.
    fn run_environment(&self) -> Vec<String> {
        let mut environment = self.environment.clone();
        environment.extend(sockets::environment(&self.service));
        if self.catches_up {
            environment.push("TARE_CATCH_UP=1".to_owned());
        }
        if let Some(interval) = self.watchdog.interval {
            environment.push(format!("WATCHDOG_USEC={}", interval.as_micros()));
        }
        environment
    }

    fn pid_variables(&self) -> &'static [&'static str] {
        match (self.sockets.is_empty(), self.watchdog.interval) {
            (true, None) => &[],
            (false, None) => &["LISTEN_PID"],
            (true, Some(_)) => &["WATCHDOG_PID"],
            (false, Some(_)) => &["LISTEN_PID", "WATCHDOG_PID"],
        }
    }

    fn prepare(&mut self, events: &UnboundedSender<Event>) -> Result<(), StartError> {
        self.make_sources().map_err(preparing("mounts"))?;
        self.open_sockets().map_err(preparing("sockets"))?;
        if !self.service.process.config.is_empty() {
            write_sections(&self.name, self.owner().0, &self.sections)
                .map_err(preparing("configuration"))?;
        }
        if self.service.lifecycle.notifies() && self.notify.is_none() {
            let owner = self.owner().0;
            let notify = Notify::listen(&self.name, owner, events.clone());
            self.notify = Some(notify.map_err(preparing("notify socket"))?);
        }
        if let Some(notify) = &self.notify {
            notify.begin(self.run);
        }
        Ok(())
    }

    /// Creates the directories behind its mounts.
    pub(super) fn make_sources(&self) -> io::Result<()> {
        let owner = self.owner();
        let directories = source_directories(&self.service);
        directories.iter().try_for_each(|directory| {
            make_source(directory, owner).map_err(|error| {
                io::Error::new(
                    error.kind(),
                    format!("{}: {error}", directory.path.display()),
                )
            })
        })
    }

    /// The user and group that its process runs as.
    fn owner(&self) -> (u32, u32) {
        let process = self.bundle.spec.process().as_ref();
        process.map_or((0, 0), |process| {
            (process.user().uid(), process.user().gid())
        })
    }

    /// Whether it writes to the kernel's log: the collector itself, and services that must work before there can be a
    /// collector.
    fn writes_to_kmsg(&self) -> bool {
        let lifecycle = &self.service.lifecycle;
        self.service.process.collects_output
            || lifecycle.after.is_empty() && lifecycle.kind == Kind::Oneshot
    }

    fn stdio(&mut self, is_logged: bool) -> io::Result<(OwnedFd, OwnedFd)> {
        if self.writes_to_kmsg() {
            return output::kmsg();
        }
        if !is_logged {
            return output::null();
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

/// Creates a directory behind a mount; an existing one keeps its owner, which the service may have set.
fn make_source(directory: &SourceDirectory, (uid, gid): (u32, u32)) -> io::Result<()> {
    // Once it is shared, a container may have mounted a file system there that never answers.
    if directory.travels && mounts::is_mount_point(&directory.path)? {
        return Ok(());
    }
    if !directory.path.is_dir() {
        make_directory(&directory.path, directory.mode)?;
        // What the umask has taken away.
        fs::set_permissions(&directory.path, Permissions::from_mode(directory.mode))?;
        if directory.owned {
            chown(&directory.path, Some(uid), Some(gid))?;
        }
    }
    if directory.travels {
        share(&directory.path)?;
    }
    match directory.group {
        Some(group) => open_to(&directory.path, group),
        None => Ok(()),
    }
}

/// Lets only `group` read `path`. Another service may have created the directory with the default mode. Skips the
/// call if nothing would change: on a read-only file system even a no-op chown fails.
fn open_to(path: &Path, group: u32) -> io::Result<()> {
    const MODE: u32 = 0o750;
    let is = fs::metadata(path)?;
    if (is.gid(), is.mode() & 0o7777) == (group, MODE) {
        return Ok(());
    }
    chown(path, None, Some(group))?;
    fs::set_permissions(path, Permissions::from_mode(MODE))
}

/// How long a child may take to call `execve`.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a child has called `execve` or reported why not, and passes that on.
pub(super) async fn report(
    service: String,
    run: u64,
    starting: Starting,
    events: UnboundedSender<Event>,
) {
    let result = match until_reported(&starting).await {
        Ok(()) => starting.finish(LAUNCH_PATIENCE),
        // The kernel has no memory to register the descriptor. This wait blocks, but it is bounded.
        Err(_) => starting.wait(LAUNCH_PATIENCE),
    };
    let _ = events.send(
        UnitEvent::Launched {
            service,
            run,
            result,
        }
        .into(),
    );
}

async fn until_reported(starting: &Starting) -> io::Result<()> {
    let report = readable(starting.as_fd())?;
    // What can be read tells success from a timeout.
    let _ = timeout(LAUNCH_PATIENCE, report.readable()).await;
    Ok(())
}
