use super::*;
use Action::*;
use State::*;

mod backoff;

fn lifecycle(text: &str) -> Lifecycle {
    tare_config::parse("t", text.as_bytes()).unwrap()
}

const NOTIFY: &str = "ready = 'notify'\nrestart = { policy = 'always', backoff = '100ms..1s' }";
const TCP: &str = "ready = { tcp = 1 }";
const HEALTH: &str = "health = { tcp = 1, retries = 2 }";
const NEVER: &str = "restart = { policy = 'never' }";
const ONESHOT: &str = "kind = 'oneshot'\nrestart = { policy = 'never' }";
const PERIODIC: &str = "kind = 'periodic'\nschedule = 'daily'\nrestart = { policy = 'never' }";
const ON_DEMAND: &str = "start = 'on-demand'";

const LEAST: Duration = Duration::from_millis(100);
const NOW: Duration = Duration::from_secs(1000);

fn at(state: State) -> Life {
    Life { state, ..Life::NEW }
}

fn to(then: Then) -> State {
    Stopping { then }
}

fn before(next: Next) -> State {
    Clearing { next }
}

fn exited(success: bool) -> Event {
    let ran_for = Duration::from_secs(1);
    Event::Exited { success, ran_for }
}

const STOP: Event = Event::StopRequested { again: false };
const RESTART: Event = Event::StopRequested { again: true };
const WELL: Event = Event::Checked { well: true };
const ILL: Event = Event::Checked { well: false };

type Row<'a> = (&'a str, State, Event, State, Vec<Action>);

fn check(table: Vec<Row<'_>>) {
    for (text, state, event, next, actions) in table {
        let (life, got) = step(&lifecycle(text), at(state), event, NOW);
        assert_eq!(
            (life.state, got),
            (next, actions),
            "{text}: {state:?} {event:?}"
        );
    }
}

#[rustfmt::skip]
#[test]
fn at_rest() {
    check(vec![
        (NOTIFY, Waiting, Event::ConditionsMet, Starting, vec![Launch]),
        (NOTIFY, Waiting, Event::StartRequested, Waiting, vec![Reconsider]),
        (NOTIFY, Waiting, RESTART, Waiting, vec![Reconsider]),
        (NOTIFY, Waiting, STOP, Stopped, vec![Withdraw]),
        (NOTIFY, BackingOff, Event::BackoffOver, Waiting, vec![Reconsider]),
        (NOTIFY, BackingOff, STOP, Stopped, vec![Withdraw]),
        (NOTIFY, BackingOff, Event::StartRequested, Waiting, vec![Withdraw, Reconsider]),
        (NOTIFY, Stopped, Event::StartRequested, Waiting, vec![Withdraw, Reconsider]),
        (NOTIFY, Failed, RESTART, Waiting, vec![Withdraw, Reconsider]),
        (ONESHOT, Done, Event::StartRequested, Waiting, vec![Withdraw, Reconsider]),
        (NOTIFY, Stopped, Event::BackoffOver, Stopped, vec![]),
        (NOTIFY, Stopped, Event::ConditionsMet, Stopped, vec![]),
        (NOTIFY, BackingOff, exited(false), BackingOff, vec![]),
        (NOTIFY, Done, Event::GraceOver, Done, vec![]),
        (NOTIFY, Done, STOP, Done, vec![]),
        (NOTIFY, Failed, Event::SaysReady, Failed, vec![]),
        (NOTIFY, Failed, STOP, Stopped, vec![Withdraw]),
        (NOTIFY, Failed, Event::StartRequested, Waiting, vec![Withdraw, Reconsider]),
        (NOTIFY, Stopped, STOP, Stopped, vec![]),
    ]);
}

#[rustfmt::skip]
#[test]
fn from_its_start_to_ready() {
    check(vec![
        (NOTIFY, Starting, Event::Launched, Starting, vec![ArmStart, WatchReadiness]),
        ("", Starting, Event::Launched, Ready, vec![Publish, WatchHealth]),
        (ONESHOT, Starting, Event::Launched, Starting, vec![ArmStart]),
        (NOTIFY, Starting, Event::SaysReady, Ready, vec![Publish, WatchHealth]),
        (ONESHOT, Starting, Event::SaysReady, Starting, vec![]),
        (TCP, Starting, Event::SaysReady, Starting, vec![]),
        (TCP, Starting, Event::Answers, Ready, vec![Publish, WatchHealth]),
        (NOTIFY, Starting, Event::Answers, Starting, vec![]),
        ("", Starting, Event::SaysReady, Starting, vec![]),
        (NOTIFY, Starting, Event::Late, to(Then::Fail), vec![Withdraw, Signal, ArmGrace]),
        (ONESHOT, Starting, Event::Late, to(Then::Fail), vec![Withdraw, Signal, ArmGrace]),
        (NOTIFY, Starting, Event::WatchdogLate, to(Then::Fail), vec![Withdraw, Abort, ArmGrace]),
        (NOTIFY, Starting, Event::ConditionsMet, Starting, vec![]),
        (NOTIFY, Starting, Event::StartRequested, Starting, vec![]),
        (NOTIFY, Starting, ILL, Starting, vec![]),
    ]);
}

#[rustfmt::skip]
#[test]
fn while_it_is_up() {
    check(vec![
        (HEALTH, Ready, ILL, Degraded, vec![Withdraw]),
        (HEALTH, Degraded, ILL, Degraded, vec![]),
        (HEALTH, Degraded, WELL, Ready, vec![Publish]),
        (HEALTH, Ready, WELL, Ready, vec![]),
        (NOTIFY, Ready, Event::WatchdogLate, to(Then::Fail), vec![Withdraw, Abort, ArmGrace]),
        (NOTIFY, Ready, Event::Reloading, Ready, vec![ArmStart]),
        (NOTIFY, Ready, Event::Launched, Ready, vec![WatchHealth]),
        (NOTIFY, Ready, Event::Late, Ready, vec![]),
        (NOTIFY, Ready, Event::SaysReady, Ready, vec![]),
        (NOTIFY, Ready, Event::SaysStopping, to(Then::Judge), vec![Withdraw, ArmGrace]),
        (NOTIFY, Ready, STOP, to(Then::Stop), vec![Withdraw, Signal, ArmGrace]),
        (NOTIFY, Degraded, RESTART, to(Then::StartAgain), vec![Withdraw, Signal, ArmGrace]),
        (NOTIFY, Ready, Event::ConditionsMet, Ready, vec![]),
        (NOTIFY, Ready, Event::BackoffOver, Ready, vec![]),
    ]);
}

#[rustfmt::skip]
#[test]
fn when_its_process_ends() {
    let ended = vec![Withdraw, Kill, AwaitEmpty];
    let wait = |success| before(Next::Wait { success });
    check(vec![
        (NOTIFY, Starting, exited(false), before(Next::BackOff(LEAST)), ended.clone()),
        (NOTIFY, Ready, exited(true), before(Next::BackOff(LEAST)), ended.clone()),
        (NOTIFY, Degraded, exited(true), before(Next::BackOff(LEAST)), ended.clone()),
        ("", Ready, exited(true), before(Next::Done), ended.clone()),
        ("", Ready, exited(false), before(Next::BackOff(LEAST)), ended.clone()),
        (NEVER, Ready, exited(false), before(Next::Fail), ended.clone()),
        (NEVER, Ready, exited(true), before(Next::Done), ended.clone()),
        (ONESHOT, Starting, exited(true), before(Next::Done), ended.clone()),
        (ONESHOT, Starting, exited(false), before(Next::Fail), ended.clone()),
        (PERIODIC, Starting, exited(true), wait(true), ended.clone()),
        (PERIODIC, Starting, exited(false), wait(false), ended.clone()),
        (ON_DEMAND, Ready, exited(true), wait(true), ended.clone()),
        (ON_DEMAND, Ready, exited(false), before(Next::BackOff(LEAST)), ended.clone()),
    ]);
}

#[rustfmt::skip]
#[test]
fn while_it_stops() {
    let kill = vec![Kill, AwaitEmpty];
    check(vec![
        (NOTIFY, to(Then::Stop), Event::GraceOver, to(Then::Stop), vec![Kill, ArmKilled]),
        (NOTIFY, to(Then::Stop), Event::Hangs, before(Next::Stop), kill.clone()),
        (NOTIFY, to(Then::StartAgain), Event::Hangs, before(Next::StartAgain), kill.clone()),
        (NEVER, to(Then::Judge), Event::Hangs, before(Next::Fail), kill.clone()),
        (NOTIFY, to(Then::Stop), exited(false), before(Next::Stop), kill.clone()),
        (NOTIFY, to(Then::StartAgain), exited(false), before(Next::StartAgain), kill.clone()),
        (NOTIFY, to(Then::Judge), exited(true), before(Next::BackOff(LEAST)), kill.clone()),
        (NEVER, to(Then::Judge), exited(true), before(Next::Done), kill.clone()),
        (NEVER, to(Then::Fail), exited(true), before(Next::Fail), kill.clone()),
        (NOTIFY, to(Then::StartAgain), STOP, to(Then::Stop), vec![]),
        (NOTIFY, to(Then::Stop), RESTART, to(Then::StartAgain), vec![]),
        (NOTIFY, to(Then::Stop), Event::StartRequested, to(Then::StartAgain), vec![]),
        (NOTIFY, to(Then::Fail), Event::StartRequested, to(Then::Fail), vec![]),
        (NOTIFY, to(Then::Stop), Event::Launched, to(Then::Stop), vec![Signal]),
        (NOTIFY, to(Then::Judge), Event::Launched, to(Then::Judge), vec![]),
        (NOTIFY, to(Then::Stop), Event::SaysReady, to(Then::Stop), vec![]),
        (NOTIFY, to(Then::Stop), Event::WatchdogLate, to(Then::Stop), vec![]),
    ]);
}

#[rustfmt::skip]
#[test]
fn when_nothing_is_left() {
    let gone = Event::Emptied;
    let wait = |success| before(Next::Wait { success });
    check(vec![
        (NOTIFY, before(Next::Stop), gone, Stopped, vec![]),
        (NOTIFY, before(Next::StartAgain), gone, Waiting, vec![Reconsider]),
        (NOTIFY, before(Next::BackOff(LEAST)), gone, BackingOff, vec![ArmBackoff(LEAST)]),
        (NOTIFY, before(Next::Fail), gone, Failed, vec![]),
        ("", before(Next::Done), gone, Done, vec![]),
        (ONESHOT, before(Next::Done), gone, Done, vec![Publish]),
        (PERIODIC, wait(true), gone, Waiting, vec![ArmTriggers, Publish]),
        (PERIODIC, wait(false), gone, Waiting, vec![ArmTriggers]),
        (ON_DEMAND, wait(true), gone, Waiting, vec![ArmTriggers]),
        (NOTIFY, before(Next::BackOff(LEAST)), STOP, before(Next::Stop), vec![]),
        (NOTIFY, before(Next::Stop), RESTART, before(Next::StartAgain), vec![]),
        (NOTIFY, before(Next::Fail), Event::StartRequested, before(Next::StartAgain), vec![]),
        (NOTIFY, before(Next::Stop), exited(true), before(Next::Stop), vec![]),
    ]);
}

/// Every event in every state: none leads to a second process, and none panics.
#[test]
fn a_program_is_run_only_where_none_runs() {
    let then = [Then::Stop, Then::StartAgain, Then::Judge, Then::Fail].map(to);
    let next = [
        Next::Stop,
        Next::StartAgain,
        Next::BackOff(LEAST),
        Next::Fail,
        Next::Done,
        Next::Wait { success: true },
    ];
    let states = [
        Waiting, Starting, Ready, Degraded, BackingOff, Failed, Done, Stopped,
    ];
    let events = [
        Event::ConditionsMet,
        Event::Launched,
        Event::SaysReady,
        Event::Answers,
        Event::Reloading,
        Event::SaysStopping,
        Event::Late,
        WELL,
        ILL,
        Event::WatchdogLate,
        exited(true),
        exited(false),
        Event::Emptied,
        Event::BackoffOver,
        Event::StartRequested,
        STOP,
        RESTART,
        Event::GraceOver,
        Event::Hangs,
    ];
    for text in ["", NOTIFY, HEALTH, NEVER, ONESHOT, PERIODIC, ON_DEMAND] {
        for state in states.into_iter().chain(then).chain(next.map(before)) {
            for event in events {
                let (life, actions) = step(&lifecycle(text), at(state), event, NOW);
                let launches = actions.contains(&Launch);
                assert_eq!(
                    launches,
                    state == Waiting && life.state == Starting,
                    "{state:?} {event:?}"
                );
                assert!(
                    !(life.has_main() && actions.contains(&AwaitEmpty)),
                    "{state:?} {event:?}"
                );
            }
        }
    }
}

/// Steps through `events` from `state`; returns the words of the states on the way.
fn way(text: &str, state: State, events: &[Event]) -> Vec<&'static str> {
    let mut life = at(state);
    let walked = events.iter().map(|event| {
        life = step(&lifecycle(text), life, *event, NOW).0;
        life.state.word()
    });
    walked.collect()
}

#[test]
fn bad_answers_in_a_row_end_a_service() {
    let stopped = ["degraded", "ready", "degraded", "stopping"];
    assert_eq!(way(HEALTH, Ready, &[ILL, WELL, ILL, ILL]), stopped);
    let once = "health = { tcp = 1, retries = 1 }";
    assert_eq!(way(once, Ready, &[ILL]), ["stopping"]);
}

#[test]
fn a_reload_ends_with_ready_or_degrades() {
    let reload = [Event::Reloading, Event::SaysReady, Event::Late];
    assert_eq!(way(NOTIFY, Ready, &reload[..2]), ["ready", "ready"]);
    let late = [Event::Reloading, Event::Late, WELL, Event::SaysReady];
    assert_eq!(
        way(NOTIFY, Ready, &late),
        ["ready", "degraded", "degraded", "ready"]
    );
    let life = Life {
        reloading: true,
        ..at(Ready)
    };
    let (life, actions) = step(&lifecycle(NOTIFY), life, Event::SaysReady, NOW);
    assert_eq!((life, actions), (at(Ready), vec![DisarmStart]));
}
