//! One of the two daemons: its process and its next start.

use crate::restarts::Restarts;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Command, ExitStatus};
use std::time::{Duration, Instant};

/// A daemon that is kept running.
pub(crate) struct Daemon {
    name: &'static str,
    child: Option<Child>,
    started: Instant,
    pub(crate) ready: bool,
    /// Whether it was told to exit.
    told: bool,
    restarts: Restarts,
    /// Its next start, while it does not run.
    due: Instant,
}

impl Daemon {
    pub(crate) fn new(name: &'static str) -> Self {
        let now = Instant::now();
        Self {
            name,
            child: None,
            started: now,
            ready: false,
            told: false,
            restarts: Restarts::default(),
            due: now,
        }
    }

    pub(crate) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Time until its next start; `None` while it runs.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        let wait = self.due.saturating_duration_since(Instant::now());
        (!self.runs()).then_some(wait)
    }

    /// Starts it with `command`.
    ///
    /// # Errors
    /// If the process cannot be created or there is no such program.
    pub(crate) fn start(&mut self, command: &mut Command) -> Result<&mut Child> {
        self.started = Instant::now();
        (self.ready, self.told) = (false, false);
        let child = command.spawn();
        let child = child.with_context(|| format!("start {}", self.name))?;
        Ok(self.child.insert(child))
    }

    /// Tells it to exit.
    pub(crate) fn end(&mut self) {
        self.told = true;
        self.signal(Signal::TERM);
    }

    /// Sends it `signal`, if it runs.
    pub(crate) fn signal(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        // Its process id is not reused until it is waited for.
        if let Err(error) = kill_process(Pid::from_child(child), signal) {
            eprintln!("signal {}: {error}", self.name);
        }
    }

    /// Reaps it, if it has exited, and schedules its next start. Returns whether it has given up its start.
    ///
    /// # Errors
    /// If it keeps exiting without having been told to.
    pub(crate) fn reap(&mut self) -> Result<bool> {
        let Some(child) = &mut self.child else {
            return Ok(false);
        };
        let waited = child.try_wait();
        let Some(status) = waited.with_context(|| format!("wait for {}", self.name))? else {
            return Ok(false);
        };
        self.child = None;
        self.due = Instant::now();
        if self.told {
            return Ok(false);
        }
        let Some(wait) = self.restarts.after(self.ready, self.started.elapsed()) else {
            bail!("{}: {status}: crash loop", self.name);
        };
        eprintln!("{}: {status}; starting it again", self.name);
        self.due += wait;
        Ok(!self.ready && is_failure(status))
    }
}

/// Whether a program that ended with `status` has failed by itself. A signal comes from elsewhere, such as the OOM
/// killer; the daemons exit with 0 after SIGTERM.
pub(crate) fn is_failure(status: ExitStatus) -> bool {
    status.code().is_some_and(|code| code != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread::sleep;

    /// Waits until `daemon` has ended; returns whether it has given up its start.
    fn ended(daemon: &mut Daemon) -> bool {
        loop {
            let given_up = daemon.reap().unwrap();
            if !daemon.runs() {
                return given_up;
            }
            sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_start_is_given_up_only_by_the_daemon_itself() {
        let alone: fn(&mut Daemon) = |_| ();
        let outside: fn(&mut Daemon) = |daemon| daemon.signal(Signal::TERM);
        let told: fn(&mut Daemon) = |daemon| daemon.told = true;
        let ready: fn(&mut Daemon) = |daemon| daemon.ready = true;
        for (script, meanwhile, want) in [
            ("exit 1", alone, true),
            ("exit 0", alone, false),
            ("kill -KILL $$", alone, false),
            ("exit 1", told, false),
            ("exec sleep 60", outside, false),
            ("exit 1", ready, false),
        ] {
            let mut daemon = Daemon::new("sh");
            let mut command = Command::new("sh");
            daemon.start(command.args(["-c", script])).unwrap();
            meanwhile(&mut daemon);
            assert_eq!(ended(&mut daemon), want, "{script}");
        }
    }
}
