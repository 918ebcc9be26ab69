//! How a run ends, and what comes next.

use super::types::{Action, Life, Next, State};
use std::time::Duration;
use tare_config::service::{Kind, Lifecycle, LimitThen, RestartPolicy, Start};

/// The main process is gone; what it left behind is killed.
pub(super) fn cleared(life: Life, next: Next) -> (Life, Vec<Action>) {
    (
        life.to(State::Clearing { next }),
        vec![Action::Kill, Action::AwaitEmpty],
    )
}

/// As [`cleared`], but the policy decides what comes next.
pub(super) fn judged(
    lifecycle: &Lifecycle,
    life: Life,
    success: bool,
    ran_for: Duration,
    now: Duration,
) -> (Life, Vec<Action>) {
    let complete = success && lifecycle.kind != Kind::Daemon;
    let again = match lifecycle.restart.policy {
        _ if complete => false,
        RestartPolicy::Never => false,
        RestartPolicy::OnFailure => !success,
        RestartPolicy::Always => true,
    };
    if again {
        let (life, next) = back_off(lifecycle, life, ran_for, now);
        return cleared(life, next);
    }
    let life = match lifecycle.kind {
        Kind::Daemon => hold_off(lifecycle, life, ran_for),
        Kind::Oneshot | Kind::Periodic => life,
    };
    cleared(life, for_good(lifecycle, success))
}

/// A daemon that ends well, but soon, may have left a connection waiting. The time for which its sockets are not
/// watched then doubles.
fn hold_off(lifecycle: &Lifecycle, life: Life, ran_for: Duration) -> Life {
    let restart = &lifecycle.restart;
    let doubled = life.backoff.saturating_mul(2);
    let backoff = match ran_for >= restart.stable.0 {
        true => Duration::ZERO,
        false => doubled.clamp(restart.backoff.least.0, restart.backoff.most.0),
    };
    Life { backoff, ..life }
}

/// What comes after an end without another try.
fn for_good(lifecycle: &Lifecycle, success: bool) -> Next {
    let waits = match lifecycle.kind {
        Kind::Periodic => true,
        Kind::Daemon => lifecycle.start == Start::OnDemand && success,
        Kind::Oneshot => false,
    };
    match success {
        _ if waits => Next::Wait { success },
        true => Next::Done,
        false => Next::Fail,
    }
}

/// The wait doubles at every end, up to the maximum; a stable run resets it.
fn back_off(lifecycle: &Lifecycle, life: Life, ran_for: Duration, now: Duration) -> (Life, Next) {
    let restart = &lifecycle.restart;
    let (least, most) = (restart.backoff.least.0, restart.backoff.most.0);
    let fresh = ran_for >= restart.stable.0 || life.backoff.is_zero();
    let wait = if fresh { least } else { life.backoff };
    let next = Life {
        backoff: wait.saturating_mul(2).min(most),
        ..life
    };
    match after_limit(lifecycle, life, now + wait) {
        None => (next, Next::BackOff(wait)),
        Some(LimitThen::KeepTrying) => (
            Life {
                backoff: most,
                ..life
            },
            Next::BackOff(most),
        ),
        Some(LimitThen::Fail) => (life, for_good(lifecycle, false)),
    }
}

/// What happens to a service if a start at `start` would exceed its limit.
fn after_limit(lifecycle: &Lifecycle, life: Life, start: Duration) -> Option<LimitThen> {
    let limit = lifecycle.restart.limit?;
    let within = start <= life.first_start + limit.within.0;
    let usual = if lifecycle.required {
        LimitThen::KeepTrying
    } else {
        LimitThen::Fail
    };
    (within && life.starts >= limit.starts).then(|| limit.then.unwrap_or(usual))
}

/// Nothing is left of the run.
pub(super) fn finish(lifecycle: &Lifecycle, life: Life, next: Next) -> (Life, Vec<Action>) {
    let published = match (lifecycle.kind, next) {
        (Kind::Oneshot, Next::Done) | (Kind::Periodic, Next::Wait { success: true }) => {
            Some(Action::Publish)
        }
        _ => None,
    };
    let (state, action) = match next {
        Next::Stop => (State::Stopped, None),
        Next::Fail => (State::Failed, None),
        Next::Done => (State::Done, None),
        Next::StartAgain => (State::Waiting, Some(Action::Reconsider)),
        Next::BackOff(wait) => (State::BackingOff, Some(Action::ArmBackoff(wait))),
        Next::Wait { .. } => (State::Waiting, Some(Action::ArmTriggers)),
    };
    let life = match next {
        Next::StartAgain => Life::NEW,
        Next::Wait { success: true } => Life {
            backoff: life.backoff,
            ..Life::NEW
        },
        _ => life.to(state),
    };
    // `Publish` comes last, because it starts eligible services: a periodic service must not be due any more then.
    (life, action.into_iter().chain(published).collect())
}
