use super::*;

fn lifecycle(text: &str) -> Lifecycle {
    tare_config::parse("t", text.as_bytes()).unwrap()
}

const NOTIFY: &str = "ready = 'notify'\nrestart = { policy = 'always', backoff = '100ms..1s' }";
const ONESHOT: &str = "kind = 'oneshot'\nrestart = { policy = 'never', backoff = '1s..1s' }";

fn at(state: State) -> Life {
    Life {
        state,
        backoff: Duration::ZERO,
    }
}

fn exited(success: bool) -> Event {
    Event::Exited {
        success,
        ran_for: Duration::from_secs(1),
    }
}

#[test]
fn every_transition() {
    use Action::*;
    use State::*;
    let least = Duration::from_millis(100);
    for (text, state, event, next, actions) in [
        (
            NOTIFY,
            Waiting,
            Event::ConditionsMet,
            Starting,
            vec![Launch],
        ),
        (
            NOTIFY,
            Starting,
            Event::Launched,
            Starting,
            vec![WatchReadiness],
        ),
        ("", Starting, Event::Launched, Ready, vec![Publish]),
        (ONESHOT, Starting, Event::Launched, Starting, vec![]),
        (NOTIFY, Starting, Event::BecameReady, Ready, vec![Publish]),
        (
            NOTIFY,
            Starting,
            Event::LaunchFailed,
            BackingOff,
            vec![Withdraw, Kill, ArmBackoff(least)],
        ),
        (
            NOTIFY,
            Ready,
            exited(true),
            BackingOff,
            vec![Withdraw, Kill, ArmBackoff(least)],
        ),
        ("", Ready, exited(true), Done, vec![Kill, Withdraw]),
        (
            "",
            Ready,
            exited(false),
            BackingOff,
            vec![Withdraw, Kill, ArmBackoff(least)],
        ),
        (ONESHOT, Starting, exited(true), Done, vec![Kill, Publish]),
        (
            ONESHOT,
            Starting,
            exited(false),
            Failed,
            vec![Kill, Withdraw],
        ),
        (
            ONESHOT,
            Starting,
            Event::LaunchFailed,
            Failed,
            vec![Kill, Withdraw],
        ),
        (
            NOTIFY,
            BackingOff,
            Event::BackoffOver,
            Starting,
            vec![Launch],
        ),
        (
            NOTIFY,
            Ready,
            Event::StopRequested { again: false },
            Stopping { again: false },
            vec![Withdraw, Signal, ArmGrace],
        ),
        (
            NOTIFY,
            Stopping { again: false },
            Event::GraceOver,
            Stopping { again: false },
            vec![Kill],
        ),
        (
            NOTIFY,
            Stopping { again: false },
            exited(false),
            Stopped,
            vec![Kill],
        ),
        (
            NOTIFY,
            Stopping { again: true },
            exited(false),
            Starting,
            vec![Kill, Launch],
        ),
        (
            NOTIFY,
            Stopping { again: true },
            Event::StopRequested { again: false },
            Stopping { again: false },
            vec![],
        ),
        (
            NOTIFY,
            Stopping { again: false },
            Event::Launched,
            Stopping { again: false },
            vec![Signal],
        ),
        (
            NOTIFY,
            Stopping { again: false },
            Event::LaunchFailed,
            Stopped,
            vec![Kill],
        ),
        (
            NOTIFY,
            Waiting,
            Event::StopRequested { again: false },
            Stopped,
            vec![],
        ),
        (
            NOTIFY,
            BackingOff,
            Event::StopRequested { again: false },
            Stopped,
            vec![],
        ),
        (
            NOTIFY,
            Stopped,
            Event::StopRequested { again: true },
            Starting,
            vec![Launch],
        ),
        (NOTIFY, Ready, Event::ConditionsMet, Ready, vec![]),
        (NOTIFY, Stopped, Event::BackoffOver, Stopped, vec![]),
        (NOTIFY, Done, Event::GraceOver, Done, vec![]),
    ] {
        let (life, got) = step(&lifecycle(text), at(state), event);
        assert_eq!((life.state, got), (next, actions), "{state:?} {event:?}");
    }
}

#[test]
fn backoff_doubles_to_its_most_and_starts_afresh_after_a_stable_run() {
    let lifecycle = lifecycle(NOTIFY);
    let mut life = at(State::Ready);
    let mut waits = Vec::new();
    for ran in [1, 1, 1, 1, 1, 1, 61, 1] {
        life.state = State::Ready;
        let event = Event::Exited {
            success: false,
            ran_for: Duration::from_secs(ran),
        };
        let (next, actions) = step(&lifecycle, life, event);
        let Some(Action::ArmBackoff(wait)) = actions.last().copied() else {
            panic!("{actions:?}")
        };
        waits.push(u64::try_from(wait.as_millis()).unwrap());
        life = next;
    }
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000, 100, 200]);
}
