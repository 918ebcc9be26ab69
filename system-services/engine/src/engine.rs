//! Supervises both daemons.

use crate::config::{self, Configs, Containers};
use crate::daemon::Daemon;
use crate::end::{Action, End, Seen};
use crate::firewall::{Held, Saved};
use crate::names::{self, Names};
use crate::notify::{self, Notify};
use crate::overlaps::Overlaps;
use crate::said::{Message, Said};
use crate::signals::{Signals, came};
use crate::{hold, images, launch, output, shim, spare, syslog, untracked};
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;
use sd_notify::NotifyState;
use std::env;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Where this program keeps what dockerd reads; in memory.
const RUN: &str = "/run/tare-engine";
/// dockerd refuses to start while any process with the id in this file runs.
const PID_FILE: &str = "/run/docker.pid";
/// The engine's API, if PID 1 does not hold the socket.
const SOCKET: &str = "unix:///run/engine/docker.sock";
/// The socket, and its usual name, which containers such as Portainer and Traefik mount.
const SOCKET_PATH: &str = "/run/engine/docker.sock";
const USUAL_SOCKET_PATH: &str = "/run/docker.sock";
/// PID 1 writes this fact on shutdown of the machine, before it stops services.
const MACHINE_ENDS: &str = "/run/host/ending";

/// The daemons and the channels on which they report.
struct Engine {
    configs: Configs,
    containerd: Daemon,
    dockerd: Daemon,
    signals: Signals,
    notify: Notify,
    said: Option<Said>,
    names: Names,
    /// The port of ssh for which there are rules.
    ssh: Option<u16>,
    overlaps: Overlaps,
    /// Loads images before the service is ready, so that `docker run` of one of them works from
    /// then on.
    loader: Option<Child>,
    output: output::Process,
    /// What stands in for dockerd's rules until it is ready.
    held: Option<Held>,
    /// This run of dockerd holds ports of a container that is gone.
    stale: bool,
    /// This run of dockerd replaces such a run; it is kept whatever it finds.
    fresh: bool,
    end: End,
    /// dockerd has reloaded the configuration that makes it stop containers.
    reloaded: bool,
}

/// Runs the daemons until SIGTERM.
///
/// # Errors
/// If a daemon does not stay up.
pub(crate) fn run() -> Result<()> {
    let mut engine = Engine::new()?;
    while !engine.has_ended() {
        engine.start_due()?;
        engine.wait()?;
        engine.listen();
        engine.reap()?;
        engine.advance_end()?;
    }
    Ok(())
}

impl Engine {
    fn new() -> Result<Self> {
        fs::create_dir_all(RUN).with_context(|| format!("make {RUN}"))?;
        link_socket()?;
        if let Err(error) = syslog::link() {
            eprintln!("containers cannot log by syslog: link the log's socket: {error}");
        }
        let configs = Configs::read()?;
        if let Err(error) = shim::prepare() {
            eprintln!("containers end with this service: cgroup of their shims: {error}");
        }
        Ok(Self {
            configs,
            containerd: Daemon::new("containerd"),
            dockerd: Daemon::new("dockerd"),
            signals: Signals::handle().context("handle signals")?,
            notify: Notify::open().with_context(|| format!("listen on {}", notify::PATH))?,
            said: None,
            names: Names::new(),
            ssh: None,
            overlaps: Overlaps::new(),
            loader: None,
            output: output::Process::new(),
            held: None,
            stale: false,
            fresh: false,
            end: End::No,
            reloaded: false,
        })
    }

    fn has_ended(&self) -> bool {
        self.end == End::Containerd && !self.containerd.runs()
    }

    /// dockerd needs containerd to stop containers, so containerd is kept up until dockerd has
    /// exited.
    fn containerd_due_in(&self) -> Option<Duration> {
        let due = self.containerd.due_in();
        due.filter(|_| self.end != End::Containerd)
    }

    fn dockerd_due_in(&self) -> Option<Duration> {
        let due = self.dockerd.due_in();
        due.filter(|_| self.end == End::No)
    }

    fn output_due_in(&self) -> Option<Duration> {
        let due = self.output.due_in();
        due.filter(|_| self.dockerd.ready && self.end == End::No)
    }

    fn start_due(&mut self) -> Result<()> {
        if is_over(self.containerd_due_in()) {
            self.containerd.start(&mut containerd()?)?;
            self.containerd.ready = true;
        }
        if is_over(self.dockerd_due_in()) {
            self.start_dockerd()?;
        }
        if is_over(self.output_due_in()) {
            self.output.start();
        }
        Ok(())
    }

    fn start_dockerd(&mut self) -> Result<()> {
        let has_run = hold::is_needed();
        if has_run {
            self.prepare_firewall(true);
        }
        if let Err(error) = spare::release(Path::new(spare::FOLDER)) {
            eprintln!("{error:#}");
        }
        let _ = fs::remove_file(PID_FILE);
        let config = self.configs.chosen();
        let written = config.write(Containers::Keep);
        written.context("write dockerd's configuration")?;
        let child = self.dockerd.start(&mut dockerd(&config.hosts)?)?;
        let pipe = child.stderr.take().context("dockerd has no stderr")?;
        self.said = Some(Said::new(pipe)?);
        self.stale = false;
        if !has_run {
            // It takes seconds to start, and then starts containers.
            self.prepare_firewall(false);
        }
        Ok(())
    }

    fn prepare_firewall(&mut self, hold: bool) {
        let saved = match Saved::now() {
            Ok(saved) => saved,
            Err(error) => {
                eprintln!("<3>the firewall stays as it is: {error:#}");
                return;
            }
        };
        let (held, made) = saved.prepare(hold, self.configs.chosen().allow_direct);
        self.held = held;
        if let Err(error) = made {
            eprintln!(
                "<3>published ports may be closed until dockerd is ready, and containers' own addresses open: {error:#}"
            );
        }
        self.free_ssh(&saved);
        let resolvers = names::current();
        let made = saved.translate(&resolvers);
        self.names.note(resolvers, made);
    }

    fn free_ssh(&mut self, saved: &Saved) {
        let port = untracked::port();
        match saved.free_ssh(port) {
            Ok(()) => self.ssh = port,
            Err(error) => eprintln!(
                "<4>containers with too many connections can keep ssh from new ones: {error:#}"
            ),
        }
    }

    /// Changes the rules if ssh has another port now.
    fn follow_ssh(&mut self) {
        if self.ssh == untracked::port() {
            return;
        }
        match Saved::now() {
            Ok(saved) => self.free_ssh(&saved),
            Err(error) => eprintln!("<4>ssh's port: {error:#}"),
        }
    }

    /// Waits for a signal, a message of dockerd, or the time of a start.
    fn wait(&self) -> Result<()> {
        let mut polled = vec![
            PollFd::new(&self.signals.end, PollFlags::IN),
            PollFd::new(&self.signals.child, PollFlags::IN),
            PollFd::new(&self.notify.0, PollFlags::IN),
        ];
        polled.extend(self.names.watch.polled());
        polled.extend(self.overlaps.watch.polled());
        let pipe = self.said.iter().map(|said| &said.pipe);
        polled.extend(pipe.map(|pipe| PollFd::new(pipe, PollFlags::IN)));
        match poll(&mut polled, self.patience().as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error).context("poll"),
        }
    }

    fn patience(&self) -> Option<Timespec> {
        let due = [
            self.containerd_due_in(),
            self.dockerd_due_in(),
            self.output_due_in(),
            self.end.patience(Instant::now()),
        ];
        let next = due.into_iter().flatten().min();
        next.and_then(|wait| Timespec::try_from(wait).ok())
    }

    /// Handles dockerd's output before its READY: the output was written first.
    fn listen(&mut self) {
        let ready = self.notify.is_ready();
        match self.said.as_mut().map(Said::pass_on) {
            Some(Some(messages)) => messages
                .into_iter()
                .for_each(|message| self.handle(message)),
            Some(None) => self.said = None,
            None => {}
        }
        if ready {
            self.dockerd_is_ready();
        }
        if came(&self.signals.end) && self.end == End::No {
            self.end = End::Wanted;
        }
        if self.names.follow() {
            self.follow_ssh();
        }
        self.overlaps.follow();
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::StaleEndpoint => self.stale = true,
            Message::Reloaded => self.reloaded = matches!(self.end, End::Reload(_)),
        }
    }

    fn dockerd_is_ready(&mut self) {
        if self.stale && !self.fresh && self.end == End::No {
            eprintln!("restarting dockerd: it still holds ports of a removed container");
            self.fresh = true;
            self.dockerd.end();
            return;
        }
        self.fresh = false;
        self.dockerd.ready = true;
        self.configs.start_succeeded();
        if let Some(Err(error)) = self.held.take().map(|held| held.release()) {
            eprintln!("{error:#}");
        }
        // A loader that was started for an earlier dockerd continues with this one.
        if self.loader.is_none() {
            match load_images() {
                Ok(loader) => self.loader = Some(loader),
                Err(error) => {
                    eprintln!("{error:#}");
                    say_ready();
                }
            }
        }
        if let Err(error) = spare::keep(Path::new(spare::FOLDER)) {
            eprintln!("{error:#}");
        }
        self.overlaps.look();
    }

    fn reap(&mut self) -> Result<()> {
        if came(&self.signals.child) {
            self.containerd.reap()?;
            let gave_up = self.dockerd.reap()?;
            if gave_up && self.end == End::No {
                self.configs.start_failed();
            }
            self.reap_loader();
            self.output.reap();
        }
        Ok(())
    }

    /// The service is ready once images are loaded or have failed to load; failures are in the log.
    fn reap_loader(&mut self) {
        let ended = self.loader.as_mut().map(Child::try_wait);
        if !matches!(ended, None | Some(Ok(None))) {
            self.loader = None;
            // It may have ended because dockerd has: the next one is asked again.
            if self.dockerd.runs() && self.dockerd.ready {
                say_ready();
            }
        }
    }

    /// Takes the next step of the shutdown, if it is due.
    fn advance_end(&mut self) -> Result<()> {
        if self.end == End::No {
            return Ok(());
        }
        let seen = Seen {
            now: Instant::now(),
            machine_ends: Path::new(MACHINE_ENDS).exists(),
            dockerd_runs: self.dockerd.runs(),
            dockerd_is_ready: self.dockerd.ready,
            reloaded: self.reloaded,
        };
        let (end, action) = self.end.step(&seen);
        self.end = end;
        match action {
            Some(Action::Reload) => {
                let written = self.configs.chosen().write(Containers::Stop);
                written.context("write dockerd's configuration")?;
                self.dockerd.signal(Signal::HUP);
            }
            Some(Action::EndDockerd) => self.dockerd.end(),
            Some(Action::EndContainerd) => self.containerd.end(),
            None => {}
        }
        Ok(())
    }
}

fn say_ready() {
    if let Err(error) = sd_notify::notify(&[NotifyState::Ready]) {
        eprintln!("notify: {error}");
    }
}

/// Starts this program to load images.
fn load_images() -> Result<Child> {
    let mut loader = command(images::ARGUMENT)?;
    loader.spawn().context("load images")
}

fn is_over(wait: Option<Duration>) -> bool {
    wait.is_some_and(|wait| wait.is_zero())
}

/// A command that runs this program to become `daemon`, see [`launch`].
fn command(daemon: &str) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("find this program")?);
    command.arg(daemon).stdin(Stdio::null());
    Ok(command)
}

fn containerd() -> Result<Command> {
    let mut command = command("containerd")?;
    let path = env::var("PATH").unwrap_or_default();
    command
        .env("PATH", format!("{}:{path}", shim::FOLDER))
        // containerd would report READY, too.
        .env_remove("NOTIFY_SOCKET");
    Ok(command)
}

fn dockerd(hosts: &[String]) -> Result<Command> {
    let mut command = command("dockerd")?;
    let host = match launch::sockets() {
        0 => SOCKET,
        _ => "fd://",
    };
    command
        .args(["--config-file", config::FILE, "--host", host])
        .args(hosts.iter().flat_map(|host| ["--host", host]))
        .env("NOTIFY_SOCKET", notify::PATH)
        .stderr(Stdio::piped());
    Ok(command)
}

fn link_socket() -> Result<()> {
    match symlink(SOCKET_PATH, USUAL_SOCKET_PATH) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.with_context(|| format!("make {USUAL_SOCKET_PATH}")),
    }
}
