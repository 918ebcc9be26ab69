//! The life of one service as a pure state machine; `docs/services.md` has its diagram.

mod types;

use std::time::Duration;
use tare_config::service::{Kind, Lifecycle, LimitThen, Ready, RestartPolicy, Start};

pub(crate) use types::{Action, Event, Life, Next, State, Then};

/// The next state and the actions to take, `now` since the kernel's start. An event that has no meaning in a state
/// changes nothing.
pub(crate) fn step(
    lifecycle: &Lifecycle,
    life: Life,
    event: Event,
    now: Duration,
) -> (Life, Vec<Action>) {
    match life.state {
        State::Waiting | State::BackingOff | State::Failed | State::Done | State::Stopped => {
            at_rest(lifecycle, life, event, now)
        }
        State::Starting => starting(lifecycle, life, event, now),
        State::Ready | State::Degraded => up(lifecycle, life, event, now),
        State::Stopping { then } => stopping(lifecycle, life, then, event, now),
        State::Clearing { next } => clearing(lifecycle, life, next, event),
    }
}

/// No process of it runs.
fn at_rest(lifecycle: &Lifecycle, life: Life, event: Event, now: Duration) -> (Life, Vec<Action>) {
    match (life.state, event) {
        (State::Waiting, Event::ConditionsMet) => {
            (life.count_start(lifecycle, now), vec![Action::Launch])
        }
        (State::Waiting, Event::StartRequested | Event::StopRequested { again: true }) => {
            (life, vec![Action::Reconsider])
        }
        (
            State::Waiting | State::BackingOff | State::Failed,
            Event::StopRequested { again: false },
        ) => {
            // A periodic service that waits may have published its condition after a good run.
            (life.to(State::Stopped), vec![Action::Withdraw])
        }
        (State::BackingOff, Event::BackoffOver) => {
            (life.to(State::Waiting), vec![Action::Reconsider])
        }
        (_, Event::StartRequested | Event::StopRequested { again: true }) => {
            (Life::NEW, vec![Action::Withdraw, Action::Reconsider])
        }
        _ => (life, vec![]),
    }
}

fn starting(lifecycle: &Lifecycle, life: Life, event: Event, now: Duration) -> (Life, Vec<Action>) {
    match event {
        Event::Launched => launched(lifecycle, life),
        Event::SaysReady | Event::Answers if shows(lifecycle, event) => became_ready(life),
        Event::Late => stop(life, Then::Fail, Action::Signal),
        _ => running(lifecycle, life, event, now),
    }
}

/// Whether `event` shows that the service is ready: with `ready = 'notify'` that is its own report, otherwise the
/// answer to a probe.
fn shows(lifecycle: &Lifecycle, event: Event) -> bool {
    let says = lifecycle.ready == Ready::Notify;
    lifecycle.kind == Kind::Daemon && says == (event == Event::SaysReady)
}

fn launched(lifecycle: &Lifecycle, life: Life) -> (Life, Vec<Action>) {
    match (lifecycle.kind, &lifecycle.ready) {
        (Kind::Daemon, Ready::Started) => became_ready(life),
        (Kind::Daemon, _) => (life, vec![Action::ArmStart, Action::WatchReadiness]),
        (Kind::Oneshot | Kind::Periodic, _) => (life, vec![Action::ArmStart]),
    }
}

fn became_ready(life: Life) -> (Life, Vec<Action>) {
    let ready = Life {
        state: State::Ready,
        bad_answers: 0,
        reloading: false,
        ..life
    };
    (ready, vec![Action::Publish, Action::WatchHealth])
}

/// Ready or degraded.
fn up(lifecycle: &Lifecycle, life: Life, event: Event, now: Duration) -> (Life, Vec<Action>) {
    match event {
        Event::Reloading => (life.reloading(true), vec![Action::ArmStart]),
        Event::SaysReady if life.reloading => {
            let (life, mut actions) = better(life.reloading(false));
            actions.insert(0, Action::DisarmStart);
            (life, actions)
        }
        // It reported ready before its launch was reported.
        Event::Launched => (life, vec![Action::WatchHealth]),
        // Reload timed out. Otherwise this is a start timeout that fired after the service became ready; ignore it.
        Event::Late if life.reloading => worse(life),
        Event::Checked { well: true } => better(Life {
            bad_answers: 0,
            ..life
        }),
        Event::Checked { well: false } => answered_badly(lifecycle, life),
        _ => running(lifecycle, life, event, now),
    }
}

fn better(life: Life) -> (Life, Vec<Action>) {
    if life.state == State::Degraded && life.bad_answers == 0 && !life.reloading {
        return (life.to(State::Ready), vec![Action::Publish]);
    }
    (life, vec![])
}

fn worse(life: Life) -> (Life, Vec<Action>) {
    if life.state == State::Ready {
        return (life.to(State::Degraded), vec![Action::Withdraw]);
    }
    (life, vec![])
}

fn answered_badly(lifecycle: &Lifecycle, life: Life) -> (Life, Vec<Action>) {
    let bad_answers = life.bad_answers.saturating_add(1);
    let life = Life {
        bad_answers,
        ..life
    };
    match &lifecycle.health {
        Some(health) if bad_answers >= health.retries => stop(life, Then::Fail, Action::Signal),
        _ => worse(life),
    }
}

/// Events that may happen whenever its main process runs.
fn running(lifecycle: &Lifecycle, life: Life, event: Event, now: Duration) -> (Life, Vec<Action>) {
    match event {
        Event::WatchdogLate => stop(life, Then::Fail, Action::Abort),
        Event::StopRequested { again: true } => stop(life, Then::StartAgain, Action::Signal),
        Event::StopRequested { again: false } => stop(life, Then::Stop, Action::Signal),
        Event::SaysStopping => (
            life.to(State::Stopping { then: Then::Judge }),
            vec![Action::Withdraw, Action::ArmGrace],
        ),
        Event::Exited { success, ran_for } => {
            let (life, mut actions) = judged(lifecycle, life, success, ran_for, now);
            actions.insert(0, Action::Withdraw);
            (life, actions)
        }
        _ => (life, vec![]),
    }
}

fn stop(life: Life, then: Then, signal: Action) -> (Life, Vec<Action>) {
    (
        life.to(State::Stopping { then }),
        vec![Action::Withdraw, signal, Action::ArmGrace],
    )
}

/// Its main process is about to end.
fn stopping(
    lifecycle: &Lifecycle,
    life: Life,
    then: Then,
    event: Event,
    now: Duration,
) -> (Life, Vec<Action>) {
    let after = |then| life.to(State::Stopping { then });
    match event {
        Event::StopRequested { again: false } => (after(Then::Stop), vec![]),
        Event::StopRequested { again: true } => (after(Then::StartAgain), vec![]),
        Event::StartRequested if then == Then::Stop => (after(Then::StartAgain), vec![]),
        Event::GraceOver => (life, vec![Action::Kill, Action::ArmKilled]),
        // It was told to stop while it was being launched.
        Event::Launched if then != Then::Judge => (life, vec![Action::Signal]),
        Event::Exited { success, ran_for } => stopped(lifecycle, life, then, success, ran_for, now),
        Event::Hangs => stopped(lifecycle, life, then, false, Duration::ZERO, now),
        _ => (life, vec![]),
    }
}

fn stopped(
    lifecycle: &Lifecycle,
    life: Life,
    then: Then,
    success: bool,
    ran_for: Duration,
    now: Duration,
) -> (Life, Vec<Action>) {
    match then {
        Then::Stop => cleared(life, Next::Stop),
        Then::StartAgain => cleared(life, Next::StartAgain),
        Then::Judge => judged(lifecycle, life, success, ran_for, now),
        Then::Fail => judged(lifecycle, life, false, ran_for, now),
    }
}

/// Its main process is gone, or hangs in the kernel, and its other processes are being killed.
fn clearing(lifecycle: &Lifecycle, life: Life, next: Next, event: Event) -> (Life, Vec<Action>) {
    let to = |next| life.to(State::Clearing { next });
    match event {
        Event::Emptied => finish(lifecycle, life, next),
        Event::StopRequested { again: false } => (to(Next::Stop), vec![]),
        Event::StopRequested { again: true } | Event::StartRequested => {
            (to(Next::StartAgain), vec![])
        }
        _ => (life, vec![]),
    }
}

/// The main process is gone; what it left behind is killed.
fn cleared(life: Life, next: Next) -> (Life, Vec<Action>) {
    (
        life.to(State::Clearing { next }),
        vec![Action::Kill, Action::AwaitEmpty],
    )
}

/// As [`cleared`], but the policy decides what comes next.
fn judged(
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
fn finish(lifecycle: &Lifecycle, life: Life, next: Next) -> (Life, Vec<Action>) {
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

#[cfg(test)]
mod tests;
