//! Stopping and killing the processes of a service, and all services in reverse order.

use super::Supervisor;
use super::state;
use super::unit::Unit;
use crate::control::usage;
use crate::event::UnitEvent;
use crate::plan::services::{Services, stops_after};
use crate::task::Task;
use nix::libc;
use nix::sys::signal::Signal;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};
use tare_config::service::StopSignal;
use tokio::time::sleep;

/// The first and the longest wait between two looks at a cgroup whose processes were killed.
const LEAST: Duration = Duration::from_millis(2);
const MOST: Duration = Duration::from_millis(200);
/// After this long, a killed process that still exists is left alone: it hangs in the kernel.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

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

    /// Kills all of it at once or, if that fails, its main process, which needs no descriptor.
    pub(super) fn kill(&self) {
        if let Err(error) = kill(&self.cgroup()) {
            log::warn!("{}: kill: {error}", self.name);
            self.send(Signal::SIGKILL);
        }
    }
}

impl Supervisor {
    /// Reports when no process of a service is left.
    pub(super) fn await_empty(&mut self, name: &str) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let group = unit.cgroup();
        if !is_populated(&group) {
            remove(&group, &unit.used);
            self.happen(name, state::Event::Emptied);
            return;
        }
        let emptied = UnitEvent::Happened {
            service: name.to_owned(),
            run: unit.run,
            what: state::Event::Emptied,
        };
        let (events, used) = (self.events.clone(), Rc::clone(&unit.used));
        unit.phase = Some(Task::spawn(async move {
            until_empty(group, &used).await;
            let _ = events.send(emptied.into());
        }));
    }
}

async fn until_empty(group: PathBuf, used: &Cell<u64>) {
    let (mut wait, begun) = (LEAST, Instant::now());
    while is_populated(&group) {
        if begun.elapsed() > PATIENCE {
            log::error!(
                "{}: a process that was killed does not end",
                group.display()
            );
            return;
        }
        sleep(wait).await;
        wait = (wait * 2).min(MOST);
        // The first kill may have failed, which was logged.
        let _ = kill(&group);
    }
    remove(&group, used);
}

/// Kills all of a cgroup at once (`cgroup.kill`, Linux 5.14), if it exists.
fn kill(group: &Path) -> io::Result<()> {
    match fs::write(group.join("cgroup.kill"), "1") {
        Err(error) if is_gone(&error) => Ok(()),
        done => done,
    }
}

fn is_populated(group: &Path) -> bool {
    match fs::read_to_string(group.join("cgroup.events")) {
        Ok(events) => events.lines().any(|line| line == "populated 1"),
        // Removing needs no descriptor, and fails if there is a process.
        Err(error) => !is_gone(&error) && fs::remove_dir(group).is_err(),
    }
}

/// Whether the cgroup does not exist, or was removed while it was being read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV)
}

/// Removes a cgroup and adds its CPU time to `used`. The next run gets a new one: its counters begin at zero, and
/// some kernels kill what is cloned into a cgroup that was killed before (`kill_seq`, 6.14).
fn remove(group: &Path, used: &Cell<u64>) {
    let cpu = usage::cpu(group).unwrap_or(0);
    match fs::remove_dir(group) {
        Ok(()) => used.set(used.get() + cpu),
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

/// Which services must have ended before others are stopped.
#[derive(Debug)]
pub(crate) struct Ending {
    /// By service: those that it still waits for.
    waits_for: BTreeMap<String, BTreeSet<String>>,
    /// By service: those that wait for it.
    awaited_by: BTreeMap<String, Vec<String>>,
}

impl Ending {
    fn of(services: &Services) -> Self {
        let mut waits_for = BTreeMap::new();
        let mut awaited_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in services.keys() {
            let others: BTreeSet<String> = stops_after(name, services)
                .into_iter()
                .map(str::to_owned)
                .collect();
            for other in &others {
                awaited_by
                    .entry(other.clone())
                    .or_default()
                    .push(name.clone());
            }
            waits_for.insert(name.clone(), others);
        }
        Self {
            waits_for,
            awaited_by,
        }
    }

    /// Records that `name` has ended. Returns the services that waited only for it.
    fn ended(&mut self, name: &str) -> Vec<String> {
        let mut free = Vec::new();
        for other in self.awaited_by.remove(name).unwrap_or_default() {
            let waits = self.waits_for.get_mut(&other);
            if waits.is_some_and(|waits| waits.remove(name) && waits.is_empty()) {
                free.push(other);
            }
        }
        free
    }

    /// The services that wait for no other.
    fn free(&self) -> Vec<String> {
        let free = self.waits_for.iter().filter(|(_, waits)| waits.is_empty());
        free.map(|(name, _)| name.clone()).collect()
    }
}

impl Supervisor {
    /// Begins to stop all services, in reverse order.
    pub(crate) fn begin_end(&mut self) {
        let services: Services = self
            .units
            .iter()
            .map(|(name, unit)| (name.clone(), unit.service.clone()))
            .collect();
        let ending = Ending::of(&services);
        let first = ending.free();
        self.ending = Some(ending);
        // Services that do not run delay no others.
        for name in services.keys() {
            self.ended_meanwhile(name);
        }
        for name in first {
            self.end(&name);
        }
    }

    /// Whether every service has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.units.values().all(|unit| !unit.life.is_running())
    }

    fn end(&mut self, name: &str) {
        self.happen(name, state::Event::StopRequested { again: false });
    }

    /// Stops the services that waited for `name`, if it has ended.
    pub(super) fn ended_meanwhile(&mut self, name: &str) {
        let ended = |name: &str| {
            let unit = self.units.get(name);
            unit.is_none_or(|unit| !unit.life.is_running())
        };
        if self.ending.is_none() || !ended(name) {
            return;
        }
        // Nothing writes there any more, and the log may end its last line.
        if let Some(unit) = self.units.get_mut(name) {
            unit.output = None;
        }
        let free = self.ending.as_mut().map(|ending| ending.ended(name));
        for name in free.into_iter().flatten() {
            self.end(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_populated_unless_it_can_be_removed() {
        let group = std::env::temp_dir().join(format!("tare-populated-{}", std::process::id()));
        let events = group.join("cgroup.events");
        assert!(!is_populated(&group));
        fs::create_dir(&group).unwrap();
        for (text, want) in [("populated 0\nfrozen 0\n", false), ("populated 1\n", true)] {
            fs::write(&events, text).unwrap();
            assert_eq!(is_populated(&group), want, "{text}");
        }
        fs::remove_file(&events).unwrap();
        fs::create_dir(&events).unwrap();
        assert!(is_populated(&group));
        fs::remove_dir_all(&group).unwrap();
    }

    #[test]
    fn each_ends_when_the_last_that_waited_for_it_has_ended() {
        let service = |after: &str| {
            let text =
                format!("description='x'\nprocess={{args=['/x']}}\nlifecycle.after=[{after}]");
            tare_config::parse("t", text.as_bytes()).unwrap()
        };
        let services = BTreeMap::from([
            ("a".to_owned(), service("")),
            ("b".to_owned(), service("'a:ready'")),
            ("c".to_owned(), service("'a:ready','b:ready'")),
        ]);
        let mut ending = Ending::of(&services);
        assert_eq!(ending.free(), ["c"]);
        assert_eq!(ending.ended("c"), ["b"]);
        assert_eq!(ending.ended("c"), [""; 0]);
        assert_eq!(ending.ended("b"), ["a"]);
        assert_eq!(ending.ended("a"), [""; 0]);
    }
}
