//! The results of launches, and the ends of children.

pub(super) mod main_process;
pub(crate) mod reap;

use super::Supervisor;
use super::children::reap::Outcome;
use super::state::{self, State};
use std::time::Duration;
use tare_container::{LaunchError, Running};

impl Supervisor {
    /// Reaps ended children, and tells the services they belong to.
    pub(crate) fn reap(&mut self) {
        for (pid, outcome) in reap::reap() {
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
}
