//! `tare service start`, `stop` and `restart`.

use crate::Failed;
use crate::args::Change;
use crate::run::Context;
use serde::Serialize;
use std::time::{Duration, Instant};
use tare_control::{
    CallError, Client, Event, EventKind, ListServices, Method, Monitor, Nothing, Replies, State,
};

/// The requested change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wish {
    Start,
    Stop,
    Restart,
}

/// Its outcome.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Outcome {
    service: String,
    state: State,
}

impl Wish {
    fn method(self, name: &str) -> Method {
        let name = name.to_owned();
        match self {
            Self::Start => Method::StartService { name },
            Self::Stop => Method::StopService { name },
            Self::Restart => Method::RestartService { name },
        }
    }
}

/// Makes the change and, unless told not to, waits for its outcome.
pub(crate) fn change(context: &Context, change: &Change, wish: Wish) -> Result<(), Failed> {
    if change.no_wait {
        let done: Nothing = context.call(&wish.method(&change.name))?;
        return context.show(&done, |_, _| String::new());
    }
    let state = reach(context, change, wish)?;
    let service = change.name.clone();
    context.show(&Outcome { service, state }, |outcome, _| {
        format!("{} is {}\n", outcome.service, outcome.state.word())
    })
}

/// Makes the change and waits for its outcome, which is the requested one.
pub(crate) fn reach(context: &Context, change: &Change, wish: Wish) -> Result<State, Failed> {
    // Before the call, so that no event after it is missed.
    let mut events = monitor(context)?;
    let mut client = context.connect()?;
    let before = state(&mut client, &change.name)?;
    client.call::<Nothing>(&wish.method(&change.name))?;
    let now = state(&mut client, &change.name)?;
    let started = wish == Wish::Start && before == State::Starting;
    let state = settle(now, started, &mut events, change, wish)?;
    judge(&change.name, state, wish)?;
    Ok(state)
}

/// The events from the moment this returns.
fn monitor(context: &Context) -> Result<Replies<Monitor>, Failed> {
    let mut events = context
        .connect()?
        .call_more::<Monitor>(&Method::Monitor { recent: None })?;
    match events.next().transpose()? {
        Some(Monitor { event }) if event.kind == EventKind::Begin => Ok(events),
        _ => Err(Failed::NotSo("events do not begin".to_owned())),
    }
}

fn state(client: &mut Client, name: &str) -> Result<State, Failed> {
    let list: ListServices = client.call(&Method::ListServices {})?;
    let found = list.services.iter().find(|service| service.name == name);
    let gone = || Failed::NotSo(format!("there is no service `{name}`"));
    found.map(|service| service.state).ok_or_else(gone)
}

/// The state that the service reaches, starting from `state`, unless it is changed again. `started` says whether the
/// awaited run began before the first of `events`.
fn settle(
    mut state: State,
    mut started: bool,
    events: &mut Replies<Monitor>,
    change: &Change,
    wish: Wish,
) -> Result<State, Failed> {
    let deadline = Instant::now() + change.timeout;
    while !is_final(state, wish) {
        events.wait_at_most(deadline.saturating_duration_since(Instant::now()))?;
        match events.next() {
            Some(Ok(Monitor { event })) => {
                if started && has_run(&event, &change.name) {
                    return how_it_ran(&event, &change.name);
                }
                state = after(state, &event, &change.name);
                started |= state == State::Starting;
            }
            Some(Err(error)) if is_late(&error) => return Err(late(change, state)),
            Some(Err(error)) => return Err(error.into()),
            None => return Err(Failed::NotSo("events have ended".to_owned())),
        }
    }
    Ok(state)
}

/// Whether the outcome is final. A service that is told to stop may have been in transition to another state.
fn is_final(state: State, wish: Wish) -> bool {
    match wish {
        Wish::Start | Wish::Restart => state.is_settled(),
        Wish::Stop => matches!(state, State::Stopped | State::Done | State::Failed),
    }
}

fn after(state: State, event: &Event, name: &str) -> State {
    match event.new_state {
        Some(new) if event.service.as_deref() == Some(name) => new,
        _ => state,
    }
}

/// Whether a run of the service has ended and the service waits for its next run, or for an immediate restart if that
/// run is not the awaited one.
fn has_run(event: &Event, name: &str) -> bool {
    let states = (event.old_state, event.new_state);
    let waits = states == (Some(State::Stopping), Some(State::Waiting));
    waits && event.service.as_deref() == Some(name)
}

fn how_it_ran(event: &Event, name: &str) -> Result<State, Failed> {
    match event.text.as_str() {
        "" | "status 0" => Ok(State::Done),
        exit => Err(Failed::NotSo(format!("{name} ended with {exit}"))),
    }
}

fn is_late(error: &CallError) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error, CallError::Talk(error) if matches!(error.kind(), TimedOut | WouldBlock))
}

fn late(change: &Change, state: State) -> Failed {
    let Change { name, timeout, .. } = change;
    let seconds = Duration::as_secs_f64(timeout);
    Failed::NotSo(format!(
        "{name} is still {} after {seconds} s",
        state.word()
    ))
}

/// Checks that `state` is what was requested.
fn judge(name: &str, state: State, wish: Wish) -> Result<(), Failed> {
    let runs_or_ran = matches!(state, State::Ready | State::Done | State::Degraded);
    let good = match wish {
        Wish::Start | Wish::Restart => runs_or_ran,
        Wish::Stop => matches!(state, State::Stopped | State::Done | State::Failed),
    };
    match good {
        true => Ok(()),
        false => Err(Failed::NotSo(format!("{name} is {}", state.word()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_wanted_and_what_was_not() {
        for (state, wish, want) in [
            (State::Ready, Wish::Start, None),
            (State::Done, Wish::Restart, None),
            (State::BackingOff, Wish::Start, Some("a is backing-off")),
            (State::Failed, Wish::Restart, Some("a is failed")),
            (State::Stopped, Wish::Start, Some("a is stopped")),
            (State::Stopped, Wish::Stop, None),
            (State::Ready, Wish::Stop, Some("a is ready")),
        ] {
            let error = judge("a", state, wish).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), want, "{state:?} {wish:?}");
        }
    }

    #[test]
    fn a_run_that_ended_is_told_from_a_start() {
        let event = |old, new| Event {
            time: 0,
            kind: EventKind::Service,
            service: Some("a".to_owned()),
            old_state: Some(old),
            new_state: Some(new),
            text: String::new(),
        };
        for (old, new, want) in [
            (State::Stopped, State::Waiting, false),
            (State::Stopping, State::Waiting, true),
            (State::Stopping, State::Stopped, false),
        ] {
            assert_eq!(has_run(&event(old, new), "a"), want, "{old:?} {new:?}");
            assert!(!has_run(&event(old, new), "b"));
        }
    }

    #[test]
    fn only_the_services_own_events_count() {
        let event = |service: Option<&str>, new_state| Event {
            time: 0,
            kind: EventKind::Service,
            service: service.map(ToOwned::to_owned),
            old_state: None,
            new_state,
            text: String::new(),
        };
        for (event, want) in [
            (event(Some("a"), Some(State::Ready)), State::Ready),
            (event(Some("b"), Some(State::Ready)), State::Starting),
            (event(None, None), State::Starting),
        ] {
            assert_eq!(after(State::Starting, &event, "a"), want);
        }
    }
}
