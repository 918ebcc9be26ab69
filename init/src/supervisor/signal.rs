//! Ending what runs of a service.

use super::event::Event;
use super::run::Supervisor;
use super::state;
use super::task::Task;
use super::unit::Unit;
use nix::libc;
use nix::sys::signal::Signal;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tare_config::service::StopSignal;
use tokio::time::sleep;

/// The first wait between two looks at a cgroup whose processes were killed, and the longest.
const LEAST: Duration = Duration::from_millis(2);
const MOST: Duration = Duration::from_millis(200);
/// After this long, what is left of a service is left: it hangs in the kernel.
const EMPTY_PATIENCE: Duration = Duration::from_secs(10);

impl Unit {
    /// Sends its stop signal to its main process.
    pub(super) fn signal(&self) {
        self.send(signal_of(self.service.lifecycle.stop.signal));
    }

    pub(super) fn send(&self, signal: Signal) {
        let first = self.running.as_ref().map(|running| &running.pidfd);
        let main = self.main.as_ref().and_then(|main| main.pidfd.as_ref());
        let Some(pidfd) = main.or(first) else { return };
        if let Err(error) = send_to(pidfd.as_fd(), signal) {
            log::warn!("{}: signal: {error}", self.name);
        }
    }

    /// Kills all of it at once (`cgroup.kill`, Linux 5.14).
    pub(super) fn kill(&self) {
        match fs::write(self.cgroup().join("cgroup.kill"), "1") {
            // It never came so far as to have a cgroup.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => log::warn!("{}: kill: {error}", self.name),
            Ok(()) => {}
        }
    }
}

impl Supervisor {
    /// Tells when nothing is left of a service.
    pub(super) fn await_empty(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let group = unit.cgroup();
        if !is_populated(&group) {
            remove(&group);
            self.happen(name, state::Event::Emptied);
            return;
        }
        let emptied = Event::Happened {
            service: name.to_owned(),
            run: unit.run,
            what: state::Event::Emptied,
        };
        let events = self.events.clone();
        unit.phase = Some(Task::spawn(async move {
            until_empty(group).await;
            let _ = events.send(emptied);
        }));
    }
}

async fn until_empty(group: PathBuf) {
    let (mut wait, begun) = (LEAST, Instant::now());
    while is_populated(&group) {
        if begun.elapsed() > EMPTY_PATIENCE {
            log::error!(
                "{}: a process that was killed does not end",
                group.display()
            );
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(MOST);
    }
    remove(&group);
}

fn is_populated(group: &Path) -> bool {
    let events = fs::read_to_string(group.join("cgroup.events"));
    events.is_ok_and(|events| events.lines().any(|line| line == "populated 1"))
}

/// The next run gets a cgroup of its own: its counters begin at zero, and some kernels kill what is
/// cloned into one that was killed before (`kill_seq`, 6.14).
fn remove(group: &Path) {
    match fs::remove_dir(group) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            log::debug!("remove {}: {error}", group.display());
        }
        _ => {}
    }
}

fn send_to(pidfd: BorrowedFd<'_>, signal: Signal) -> nix::Result<()> {
    let none: *const libc::siginfo_t = std::ptr::null();
    // SAFETY: a null `siginfo_t` is allowed: the kernel makes one as for `kill(2)`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal as i32,
            none,
            0,
        )
    };
    nix::errno::Errno::result(result).map(drop)
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
