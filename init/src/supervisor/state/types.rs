//! States, events and actions of a service.

use std::time::Duration;
use tare_config::service::Lifecycle;

/// The state of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Waits for its conditions, its schedule, or demand.
    Waiting,
    /// Running, not ready yet; all but daemons stay here until they end.
    Starting,
    /// Running and ready.
    Ready,
    /// Running, but a health check failed or a reload timed out.
    Degraded,
    /// Told to stop, or stopping by itself; `then` comes afterwards.
    Stopping { then: Then },
    /// Its main process has ended; `next` comes when no process of it is left.
    Clearing { next: Next },
    /// Ended; starts again when the backoff is over.
    BackingOff,
    /// Ended badly, for good.
    Failed,
    /// Ended well, for good.
    Done,
    /// Ended because it was told to stop.
    Stopped,
}

/// What comes when a stopping service has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: it was told to stop.
    Stop,
    /// It is started again: it was told to restart.
    StartAgain,
    /// What its policy says: it reported that it stops by itself.
    Judge,
    /// What its policy says about a failure, however it ends.
    Fail,
}

/// What comes when no process of an ended service is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// [`State::Stopped`].
    Stop,
    /// [`State::Waiting`], to start at once if its conditions hold.
    StartAgain,
    /// [`State::BackingOff`] for this long.
    BackOff(Duration),
    /// [`State::Failed`].
    Fail,
    /// [`State::Done`].
    Done,
    /// [`State::Waiting`] for its schedule or demand, after a good or a bad run.
    Wait { success: bool },
}

impl State {
    /// The word that people read.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Degraded => "degraded",
            State::Stopping { .. } | State::Clearing { .. } => "stopping",
            State::BackingOff => "backing-off",
            State::Failed => "failed",
            State::Done => "done",
            State::Stopped => "stopped",
        }
    }

    /// Whether its timers and probes continue across a change to `next`.
    pub(crate) fn is_as(self, next: Self) -> bool {
        let up = |state| matches!(state, State::Ready | State::Degraded);
        up(self) && up(next) || std::mem::discriminant(&self) == std::mem::discriminant(&next)
    }
}

/// What happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Every condition of its `after` holds, and no trigger is missing.
    ConditionsMet,
    /// Its program runs.
    Launched,
    /// It reports that it is ready, or ready again.
    SaysReady,
    /// Its readiness probe succeeded.
    Answers,
    /// It reloads its configuration, and reports when it is ready again.
    Reloading,
    /// It reports that it stops by itself.
    SaysStopping,
    /// Its start or reload timed out.
    Late,
    /// The result of a health check.
    Checked { well: bool },
    /// It did not ping its watchdog in time.
    WatchdogLate,
    /// Its main process ended, or could not be started.
    Exited { success: bool, ran_for: Duration },
    /// Nothing is left in its cgroup.
    Emptied,
    /// Its backoff is over.
    BackoffOver,
    /// A start was requested.
    StartRequested,
    /// A stop was requested, to start `again` or not.
    StopRequested { again: bool },
    /// It was told to stop and did not within its grace period.
    GraceOver,
    /// It was killed and did not end: it hangs in the kernel.
    Hangs,
}

/// What the supervisor does about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Run its program; answered by `Launched` or `Exited`.
    Launch,
    /// Answer with `Late` when its start or reload times out, if that has a limit.
    ArmStart,
    /// Cancel that.
    DisarmStart,
    /// Probe until it is ready; answered by `Answers`.
    WatchReadiness,
    /// Check its health and its watchdog; answered by `Checked` and `WatchdogLate`.
    WatchHealth,
    /// Make `NAME:ready` or `NAME:done` hold.
    Publish,
    /// Make it no longer hold.
    Withdraw,
    /// Send its stop signal.
    Signal,
    /// Send SIGABRT, as for a watchdog timeout in `systemd.service(5)` (`WatchdogSignal=`).
    Abort,
    /// Answer with `GraceOver` when its grace period is over.
    ArmGrace,
    /// Kill what is left of it.
    Kill,
    /// Answer with `Hangs` when its main process has not ended long after that.
    ArmKilled,
    /// Answer with `Emptied` when its cgroup is empty.
    AwaitEmpty,
    /// Answer with `BackoffOver` after this long, or a little less.
    ArmBackoff(Duration),
    /// Check whether its conditions hold; answered by `ConditionsMet`, at once or later.
    Reconsider,
    /// Wait for its schedule, or for demand.
    ArmTriggers,
}

/// A service's state, and what its next state depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) state: State,
    /// How long the next backoff is; zero means the minimum.
    pub(crate) backoff: Duration,
    /// The first start that counts towards its limit, since the kernel's start.
    pub(super) first_start: Duration,
    /// Starts since then.
    pub(super) starts: u32,
    /// Failed health checks in a row.
    pub(super) bad_answers: u32,
    /// It reported a reload, and has not reported ready since.
    pub(super) reloading: bool,
}

impl Life {
    pub(crate) const NEW: Self = Self {
        state: State::Waiting,
        backoff: Duration::ZERO,
        first_start: Duration::ZERO,
        starts: 0,
        bad_answers: 0,
        reloading: false,
    };

    /// Whether a process of the service may exist.
    pub(crate) fn is_running(self) -> bool {
        self.has_main() || matches!(self.state, State::Clearing { .. })
    }

    /// Whether its main process runs and is not about to end.
    pub(crate) fn goes_on(self) -> bool {
        matches!(self.state, State::Starting | State::Ready | State::Degraded)
    }

    /// Whether it does not start again by itself, because it was told to stop.
    pub(crate) fn is_told_to_stop(self) -> bool {
        matches!(
            self.state,
            State::Stopping { then: Then::Stop }
                | State::Clearing { next: Next::Stop }
                | State::Stopped
        )
    }

    /// Whether its main process may exist.
    pub(crate) fn has_main(self) -> bool {
        matches!(
            self.state,
            State::Starting | State::Ready | State::Degraded | State::Stopping { .. }
        )
    }

    pub(super) fn to(self, state: State) -> Self {
        Self { state, ..self }
    }

    pub(super) fn reloading(self, reloading: bool) -> Self {
        Self { reloading, ..self }
    }

    /// Counts a start. It begins a new count if the time of the current one is over.
    pub(super) fn count_start(self, lifecycle: &Lifecycle, now: Duration) -> Self {
        let within = lifecycle.restart.limit.map(|limit| limit.within.0);
        let over = within.is_none_or(|within| now > self.first_start + within);
        let first = self.starts == 0 || over;
        Self {
            state: State::Starting,
            first_start: if first { now } else { self.first_start },
            starts: if first { 1 } else { self.starts + 1 },
            bad_answers: 0,
            reloading: false,
            ..self
        }
    }
}
