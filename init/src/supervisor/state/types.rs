//! The words of a service's life.

use std::time::Duration;
use tare_config::service::Lifecycle;

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// For its conditions, its schedule, or somebody who needs it.
    Waiting,
    /// Running, not ready yet; all but daemons stay here until they end.
    Starting,
    /// Running and ready.
    Ready,
    /// Running, but it does not answer as it should.
    Degraded,
    /// Told to end, or about to; what comes afterwards.
    Stopping { then: Then },
    /// Its main process has ended; what comes when nothing of it is left.
    Clearing { next: Next },
    /// Ended, to be started again when the backoff is over.
    BackingOff,
    /// Ended badly, for good.
    Failed,
    /// Ended well, for good.
    Done,
    /// Ended because it was told to.
    Stopped,
}

/// What comes when a service that is stopping has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    /// Nothing: it was told to stop.
    Stop,
    /// It is started again: it was told to restart.
    StartAgain,
    /// What its policy says: it said that it stops by itself.
    Judge,
    /// What its policy says of a failure, however it ends.
    Fail,
}

/// What comes when nothing is left of a service that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// [`State::Stopped`].
    Stop,
    /// [`State::Waiting`], to start at once if its conditions hold.
    StartAgain,
    /// [`State::BackingOff`] for so long.
    BackOff(Duration),
    /// [`State::Failed`].
    Fail,
    /// [`State::Done`].
    Done,
    /// [`State::Waiting`] for its schedule or somebody who needs it, after a good or a bad run.
    Wait { success: bool },
}

impl State {
    /// What people read.
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

    /// Whether its timers and probes go on over a change to `next`.
    pub(crate) fn is_as(self, next: Self) -> bool {
        let up = |state| matches!(state, State::Ready | State::Degraded);
        up(self) && up(next) || std::mem::discriminant(&self) == std::mem::discriminant(&next)
    }
}

/// What happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Every condition of its `after` holds, and it is to run.
    ConditionsMet,
    /// Its program runs.
    Launched,
    /// It says that it is ready, or ready again.
    SaysReady,
    /// It answers for the first time.
    Answers,
    /// It reads its configuration anew, and says when it is ready again.
    Reloading,
    /// It says that it ends by itself.
    SaysStopping,
    /// Its time to become ready is over.
    Late,
    /// It was asked how it is.
    Checked { well: bool },
    /// It did not feed its watchdog.
    WatchdogLate,
    /// Its main process ended, or could not be started.
    Exited { success: bool, ran_for: Duration },
    /// Nothing is left in its cgroup.
    Emptied,
    /// It waited long enough.
    BackoffOver,
    /// Somebody wants it to run.
    StartRequested,
    /// It has to end; and to start `again`, or not.
    StopRequested { again: bool },
    /// It was told to end and did not in time.
    GraceOver,
    /// It was killed and did not end: it hangs in the kernel.
    Hangs,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Run its program; answered by `Launched` or `Exited`.
    Launch,
    /// Answer with `Late` when its time to become ready is over, if that has an end.
    ArmStart,
    /// Take that back.
    DisarmStart,
    /// Find out when it is ready; answered by `Answers`.
    WatchReadiness,
    /// Ask how it is, and wait for its watchdog; answered by `Checked` and `WatchdogLate`.
    WatchHealth,
    /// `NAME:ready` or `NAME:done` holds.
    Publish,
    /// It holds no longer.
    Withdraw,
    /// Send its stop signal.
    Signal,
    /// Send SIGABRT, as `systemd.service(5)` has it for a watchdog (`WatchdogSignal=`).
    Abort,
    /// Answer with `GraceOver` when its grace is over.
    ArmGrace,
    /// Kill what is left of it.
    Kill,
    /// Answer with `Hangs` when its main process has not ended long after that.
    ArmKilled,
    /// Answer with `Emptied` when its cgroup is.
    AwaitEmpty,
    /// Answer with `BackoffOver` after so long, or a little less.
    ArmBackoff(Duration),
    /// See whether its conditions hold; answered by `ConditionsMet`, at once or later.
    Reconsider,
    /// Wait for its schedule, or for somebody who needs it.
    ArmStartReason,
}

/// A service's state, and what its next state depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) state: State,
    /// How long the next backoff is; zero: the least.
    pub(crate) backoff: Duration,
    /// The first start that counts for its limit, since the kernel's start.
    pub(super) first_start: Duration,
    /// Starts since then.
    pub(super) starts: u32,
    /// Bad answers in a row.
    pub(super) bad_answers: u32,
    /// It said so, and not since that it is ready.
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

    /// Whether a process of the service may be there.
    pub(crate) fn is_running(self) -> bool {
        self.has_main() || matches!(self.state, State::Clearing { .. })
    }

    /// Whether its main process runs and is not about to end.
    pub(crate) fn goes_on(self) -> bool {
        matches!(self.state, State::Starting | State::Ready | State::Degraded)
    }

    /// Whether its main process may be there.
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

    /// A start, which is the first of its kind if the time of the last first one is over.
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
