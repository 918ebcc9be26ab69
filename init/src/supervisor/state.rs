//! The life of one service as a pure state machine.

use std::time::Duration;
use tare_config::service::{Kind, Lifecycle, Ready, RestartPolicy};

/// A service that ran this long before it ended is started again without delay.
const STABLE: Duration = Duration::from_secs(60);

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// For its conditions.
    Waiting,
    /// Running, not ready yet; a oneshot stays here until it ends.
    Starting,
    /// Running and ready.
    Ready,
    /// Told to end; afterwards it is started `again`, or not.
    Stopping { again: bool },
    /// Ended, to be started again when the backoff is over.
    BackingOff,
    /// Ended badly, for good.
    Failed,
    /// Ended well, for good.
    Done,
    /// Ended because it was told to.
    Stopped,
}

impl State {
    /// What people read.
    pub(crate) fn word(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Ready => "ready",
            State::Stopping { .. } => "stopping",
            State::BackingOff => "backing-off",
            State::Failed => "failed",
            State::Done => "done",
            State::Stopped => "stopped",
        }
    }
}

/// What happens to a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// Every condition of its `after` holds.
    ConditionsMet,
    /// Its program runs.
    Launched,
    /// Its program could not be run.
    LaunchFailed,
    /// It said so, or answers.
    BecameReady,
    /// Its main process ended.
    Exited { success: bool, ran_for: Duration },
    /// It waited long enough.
    BackoffOver,
    /// It has to end; and to start `again`, or not.
    StopRequested { again: bool },
    /// It was told to end and did not in time.
    GraceOver,
}

/// What is to be done about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Run its program; answered by `Launched` or `LaunchFailed`.
    Launch,
    /// Find out when it is ready; answered by `BecameReady`.
    WatchReadiness,
    /// `NAME:ready` or `NAME:done` holds.
    Publish,
    /// `NAME:ready` holds no longer.
    Withdraw,
    /// Send its stop signal.
    Signal,
    /// Kill what is left of it.
    Kill,
    /// Answer with `BackoffOver` after so long.
    ArmBackoff(Duration),
    /// Answer with `GraceOver` when its grace is over.
    ArmGrace,
}

/// A service's state, and what its next state depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) state: State,
    /// How long the next backoff is; zero: the least.
    backoff: Duration,
}

impl Life {
    pub(crate) const NEW: Self = Self {
        state: State::Waiting,
        backoff: Duration::ZERO,
    };

    /// Whether a process of the service may be there.
    pub(crate) fn is_running(self) -> bool {
        matches!(
            self.state,
            State::Starting | State::Ready | State::Stopping { .. }
        )
    }

    fn to(self, state: State) -> Self {
        Self { state, ..self }
    }
}

/// The next state and what is to be done. An event that means nothing in a state changes nothing.
pub(crate) fn step(lifecycle: &Lifecycle, life: Life, event: Event) -> (Life, Vec<Action>) {
    match (life.state, event) {
        (State::Waiting, Event::ConditionsMet) | (State::BackingOff, Event::BackoffOver) => {
            (life.to(State::Starting), vec![Action::Launch])
        }
        (State::Starting, Event::Launched) => launched(lifecycle, life),
        (State::Starting, Event::LaunchFailed) => ended(lifecycle, life, false, Duration::ZERO),
        (State::Starting, Event::BecameReady) => (life.to(State::Ready), vec![Action::Publish]),
        (State::Starting | State::Ready, Event::Exited { success, ran_for }) => {
            ended(lifecycle, life, success, ran_for)
        }
        (State::Starting | State::Ready, Event::StopRequested { again }) => (
            life.to(State::Stopping { again }),
            vec![Action::Withdraw, Action::Signal, Action::ArmGrace],
        ),
        (State::Stopping { .. }, Event::StopRequested { again }) => {
            (life.to(State::Stopping { again }), vec![])
        }
        (State::Stopping { .. }, Event::GraceOver) => (life, vec![Action::Kill]),
        // It was told to end while it was being started.
        (State::Stopping { .. }, Event::Launched) => (life, vec![Action::Signal]),
        (State::Stopping { again: true }, Event::Exited { .. } | Event::LaunchFailed) => {
            (life.to(State::Starting), vec![Action::Kill, Action::Launch])
        }
        (State::Stopping { again: false }, Event::Exited { .. } | Event::LaunchFailed) => {
            (life.to(State::Stopped), vec![Action::Kill])
        }
        (State::Waiting | State::BackingOff, Event::StopRequested { again: false }) => {
            (life.to(State::Stopped), vec![])
        }
        (State::Stopped | State::Done | State::Failed, Event::StopRequested { again: true }) => {
            (Life::NEW.to(State::Starting), vec![Action::Launch])
        }
        _ => (life, vec![]),
    }
}

fn launched(lifecycle: &Lifecycle, life: Life) -> (Life, Vec<Action>) {
    match (lifecycle.kind, &lifecycle.ready) {
        (Kind::Oneshot, _) => (life, vec![]),
        (Kind::Daemon, Ready::Started) => (life.to(State::Ready), vec![Action::Publish]),
        (Kind::Daemon, _) => (life, vec![Action::WatchReadiness]),
    }
}

/// The main process is gone: so is what it left behind, and then it is decided what comes next.
fn ended(
    lifecycle: &Lifecycle,
    life: Life,
    success: bool,
    ran_for: Duration,
) -> (Life, Vec<Action>) {
    let oneshot_done = lifecycle.kind == Kind::Oneshot && success;
    let again = match lifecycle.restart.policy {
        _ if oneshot_done => false,
        RestartPolicy::Never => false,
        RestartPolicy::OnFailure => !success,
        RestartPolicy::Always => true,
    };
    if again {
        return back_off(lifecycle, life, ran_for);
    }
    let state = if success { State::Done } else { State::Failed };
    let last = if oneshot_done {
        Action::Publish
    } else {
        Action::Withdraw
    };
    (life.to(state), vec![Action::Kill, last])
}

/// The wait doubles at every end, up to the most; a stable run starts the count afresh.
fn back_off(lifecycle: &Lifecycle, life: Life, ran_for: Duration) -> (Life, Vec<Action>) {
    let range = lifecycle.restart.backoff;
    let fresh = ran_for >= STABLE || life.backoff.is_zero();
    let wait = if fresh { range.least.0 } else { life.backoff };
    let next = Life {
        state: State::BackingOff,
        backoff: wait.saturating_mul(2).min(range.most.0),
    };
    (
        next,
        vec![Action::Withdraw, Action::Kill, Action::ArmBackoff(wait)],
    )
}

#[cfg(test)]
mod tests;
