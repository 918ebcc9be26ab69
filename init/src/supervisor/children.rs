//! The processes of services: the results of launches, main processes, and the one place that reaps.

use super::Supervisor;
use super::state::{self, State};
use super::unit::{MainProcess, Unit};
use crate::effect::pidfd;
use crate::effect::readable::until_readable;
use crate::event::{Event, UnitEvent};
use crate::task::Task;
use nix::errno::Errno;
use nix::libc;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;
use tare_config::service::Namespace;
use tare_container::{LaunchError, Running};
use tokio::sync::mpsc::UnboundedSender;

impl Supervisor {
    /// Reaps ended children, and tells the services they belong to.
    pub(crate) fn reap(&mut self) {
        for (pid, outcome) in reap() {
            let pid = pid.as_raw();
            if self.execs.ended(pid, outcome) {
                continue;
            }
            if let Some((name, run)) = self.children.remove(&pid) {
                self.child_ended(&name, run, pid, outcome);
            }
        }
    }

    /// The child could be a straggler of an earlier run that was stuck in uninterruptible sleep. While its service is
    /// being cleared, it is the first process of a container whose main process was another one, which has ended: how it
    /// is killed says nothing about the run.
    fn child_ended(&mut self, name: &str, run: u64, pid: i32, outcome: Outcome) {
        let Some(unit) = self.units.get_mut(name).filter(|unit| unit.run == run) else {
            return;
        };
        if let Some(launch) = &mut unit.launch {
            launch.ended = Some(outcome);
        } else if unit.life.has_main()
            && unit
                .running
                .as_ref()
                .is_some_and(|running| running.pid == pid)
        {
            self.exited(name, outcome);
        }
    }

    /// The launch of a run succeeded or failed.
    pub(crate) fn launched(&mut self, name: &str, run: u64, result: Result<Running, LaunchError>) {
        let Some(unit) = self.units.get_mut(name).filter(|unit| unit.run == run) else {
            return;
        };
        let launch = unit.launch.take().unwrap_or_default();
        match result {
            Ok(running) => {
                unit.running = Some(running);
                self.happen(name, state::Event::Launched);
                if let Some(outcome) = launch.ended {
                    self.exited(name, outcome);
                }
            }
            Err(error) => self.cannot_start(name, &error),
        }
    }

    pub(super) fn cannot_start(&mut self, name: &str, error: &dyn std::fmt::Display) {
        log::error!("{name} cannot start: {error}");
        if let Some(unit) = self.units.get_mut(name) {
            unit.last_exit = Some(format!("cannot start: {error}"));
        }
        let (success, ran_for) = (false, Duration::ZERO);
        self.happen(name, state::Event::Exited { success, ran_for });
    }

    pub(super) fn exited(&mut self, name: &str, outcome: Outcome) {
        let Some(unit) = self.units.get_mut(name) else {
            return;
        };
        let expected = matches!(unit.life.state, State::Stopping { .. }) || outcome.is_success();
        let level = if expected {
            log::Level::Debug
        } else {
            log::Level::Warn
        };
        log::log!(level, "{name} ended with {outcome}");
        unit.last_exit = Some(outcome.to_string());
        let ran_for = unit.started.elapsed();
        let success = outcome.is_success();
        self.happen(name, state::Event::Exited { success, ran_for });
    }
}

/// The host's pid of the process of `unit` that has `pid` in the service's own pid namespace. Only processes in the
/// service's cgroup are looked at.
pub(super) fn find_main(unit: &Unit, pid: i32) -> Option<i32> {
    let host_pids = unit.service.sandbox.joins(Namespace::Pid);
    let mut processes = processes(unit).into_iter();
    processes.find(|process| {
        if host_pids {
            *process == pid
        } else {
            inner_pid(*process) == Some(pid)
        }
    })
}

/// The host's pids of the processes in its cgroup.
fn processes(unit: &Unit) -> Vec<i32> {
    let list = fs::read_to_string(unit.cgroup().join("cgroup.procs")).unwrap_or_default();
    list.lines().filter_map(|line| line.parse().ok()).collect()
}

/// The pid of a process in its container: the second number, because a container is one namespace below the host's
/// (`NSpid` of proc_pid_status(5)).
fn inner_pid(process: i32) -> Option<i32> {
    let status = fs::read_to_string(Path::new("/proc").join(process.to_string()).join("status"));
    inner_pid_of(&status.ok()?)
}

fn inner_pid_of(status: &str) -> Option<i32> {
    let pids = status
        .lines()
        .find_map(|line| line.strip_prefix("NSpid:"))?;
    pids.split_whitespace().nth(1)?.parse().ok()
}

/// Makes the process `pid` of `unit`, which may not be our child, its main one.
///
/// With its own pid namespace, a container still ends with its first process. In the host's, the new process replaces
/// the first, which may end.
pub(super) fn take_main(
    unit: &mut Unit,
    pid: i32,
    events: &UnboundedSender<Event>,
) -> io::Result<()> {
    let pidfd = pidfd::open(pid)?;
    // The process may have ended, and its pid may have been reused, before the pidfd was opened.
    if !processes(unit).contains(&pid) {
        return Err(io::Error::from_raw_os_error(Errno::ESRCH as i32));
    }
    let watch = Task::spawn(tell_end(
        pidfd.try_clone()?,
        UnitEvent::MainEnded {
            service: unit.name.clone(),
            run: unit.run,
            pid,
        },
        events.clone(),
    ));
    let pidfd = if unit.service.sandbox.joins(Namespace::Pid) {
        let cgroup = unit.cgroup();
        unit.running = Some(Running { pid, pidfd, cgroup });
        None
    } else {
        Some(pidfd)
    };
    unit.main = Some(MainProcess {
        pid,
        pidfd,
        _watch: watch,
    });
    Ok(())
}

async fn tell_end(pidfd: OwnedFd, ended: UnitEvent, events: UnboundedSender<Event>) {
    until_readable(pidfd).await;
    let _ = events.send(ended.into());
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// With this status.
    Status(i32),
    /// By the signal with this number.
    Signal(i32),
}

impl Outcome {
    pub(crate) fn is_success(self) -> bool {
        self == Self::Status(0)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(number) => match Signal::try_from(number) {
                Ok(signal) => write!(f, "{signal}"),
                Err(_) if (libc::SIGRTMIN()..=libc::SIGRTMAX()).contains(&number) => {
                    write!(f, "SIGRTMIN+{}", number - libc::SIGRTMIN())
                }
                Err(_) => write!(f, "signal {number}"),
            },
        }
    }
}

/// Reaps every process that has ended.
///
/// Signals merge: one SIGCHLD may stand for many children, so this continues until none is left.
pub(crate) fn reap() -> Vec<(Pid, Outcome)> {
    let mut reaped = Vec::new();
    loop {
        match next() {
            Ok(Some(ended)) => reaped.push(ended),
            Ok(None) | Err(Errno::ECHILD) => return reaped,
            Err(Errno::EINTR) => {}
            Err(error) => {
                log::error!("reap: {error}");
                return reaped;
            }
        }
    }
}

/// The next process that has ended, if there is one. Calls `waitpid` itself: `nix` cannot represent an end by a
/// real-time signal, and reaps the process all the same.
fn next() -> Result<Option<(Pid, Outcome)>, Errno> {
    let mut status = 0;
    // SAFETY: the kernel writes one int to `status`, which outlives the call.
    let pid = Errno::result(unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) })?;
    let outcome = if libc::WIFSIGNALED(status) {
        Outcome::Signal(libc::WTERMSIG(status))
    } else {
        Outcome::Status(libc::WEXITSTATUS(status))
    };
    Ok((pid > 0).then_some((Pid::from_raw(pid), outcome)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervisor::state::{Next, Then};
    use crate::supervisor::testing::supervisor;
    use std::fs::File;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn what_is_killed_after_the_main_process_is_not_how_the_run_ended() {
        let next = Next::Fail;
        for (state, want) in [
            (State::Clearing { next }, "status 0"),
            (State::Failed, "status 0"),
            (State::Ready, "SIGKILL"),
            (State::Stopping { then: Then::Judge }, "SIGKILL"),
        ] {
            let last_exit = async {
                let mut supervisor = supervisor(&[("forks", "")]);
                let unit = supervisor.units.get_mut("forks").unwrap();
                unit.life.state = state;
                unit.last_exit = Some("status 0".to_owned());
                unit.running = Some(Running {
                    pid: 4711,
                    pidfd: File::open("/dev/null").unwrap().into(),
                    cgroup: "/none".into(),
                });
                supervisor.child_ended("forks", 0, 4711, Outcome::Signal(9));
                supervisor.units["forks"].last_exit.clone()
            };
            let last_exit = LocalSet::new().run_until(last_exit).await;
            assert_eq!(last_exit.as_deref(), Some(want), "{state:?}");
        }
    }

    #[test]
    fn the_second_number_is_the_service_s_own() {
        for (status, want) in [
            ("Name:\ta\nNSpid:\t4711\t7\nNSsid:\t1\n", Some(7)),
            ("NSpid:\t4711\t7\t1\n", Some(7)),
            ("NSpid:\t4711\n", None),
            ("", None),
        ] {
            assert_eq!(inner_pid_of(status), want, "{status}");
        }
    }

    #[test]
    fn every_signal_has_a_name() {
        for (signal, want) in [
            (libc::SIGKILL, "SIGKILL"),
            (libc::SIGRTMIN(), "SIGRTMIN+0"),
            (libc::SIGRTMIN() + 3, "SIGRTMIN+3"),
            (1000, "signal 1000"),
        ] {
            assert_eq!(Outcome::Signal(signal).to_string(), want);
        }
    }
}
