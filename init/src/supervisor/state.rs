//! The life of one service as a pure state machine; `docs/services.md` has its diagram.

mod end;
mod types;

pub(crate) use types::{Action, Event, Life, Next, State, Then};

use std::time::Duration;
use tare_config::service::{Kind, Lifecycle, Ready};

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
            let (life, mut actions) = end::judged(lifecycle, life, success, ran_for, now);
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
        Then::Stop => end::cleared(life, Next::Stop),
        Then::StartAgain => end::cleared(life, Next::StartAgain),
        Then::Judge => end::judged(lifecycle, life, success, ran_for, now),
        Then::Fail => end::judged(lifecycle, life, false, ran_for, now),
    }
}

/// Its main process is gone, or hangs in the kernel, and its other processes are being killed.
fn clearing(lifecycle: &Lifecycle, life: Life, next: Next, event: Event) -> (Life, Vec<Action>) {
    let to = |next| life.to(State::Clearing { next });
    match event {
        Event::Emptied => end::finish(lifecycle, life, next),
        Event::StopRequested { again: false } => (to(Next::Stop), vec![]),
        Event::StopRequested { again: true } | Event::StartRequested => {
            (to(Next::StartAgain), vec![])
        }
        _ => (life, vec![]),
    }
}

#[cfg(test)]
mod tests;
