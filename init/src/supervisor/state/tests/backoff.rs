//! How long services wait before a restart, and how often they are restarted.

use super::*;

/// The waits before restarts of a service whose runs take this many seconds.
fn waits(text: &str, runs: &[u64]) -> Vec<Option<u64>> {
    let lifecycle = lifecycle(text);
    let (mut life, mut now) = (Life::NEW, NOW);
    let mut wait_after = |ran: &u64| {
        life = step(&lifecycle, life.to(Waiting), Event::ConditionsMet, now).0;
        let ran_for = Duration::from_secs(*ran);
        now += ran_for;
        let success = false;
        life = step(&lifecycle, life, Event::Exited { success, ran_for }, now).0;
        let Clearing {
            next: Next::BackOff(wait),
        } = life.state
        else {
            return None;
        };
        now += wait;
        Some(u64::try_from(wait.as_millis()).unwrap())
    };
    runs.iter().map(&mut wait_after).collect()
}

#[test]
fn backoff_doubles_to_its_most_and_starts_afresh_after_a_stable_run() {
    let want = [100, 200, 400, 800, 1000, 1000, 100, 200].map(Some);
    assert_eq!(waits(NOTIFY, &[1, 1, 1, 1, 1, 1, 61, 1]), want);
}

#[test]
fn a_limit_is_a_number_of_starts_in_a_time() {
    const FAIL: &str = "restart = { backoff = '1s..1s', limit = { starts = 3, within = '10s' } }";
    let seconds = Some(1000);
    for (text, runs, want) in [
        (FAIL.to_owned(), vec![0, 0, 0], vec![seconds, seconds, None]),
        // The fourth start comes in the eleventh second: the count begins anew.
        (FAIL.to_owned(), vec![3, 3, 3, 0], vec![seconds; 4]),
        (
            format!("required = true\n{}", FAIL.replace("1s..1s", "1s..7s")),
            vec![0, 0, 0, 0],
            vec![Some(1000), Some(2000), Some(7000), Some(7000)],
        ),
        (
            FAIL.replace("'10s'", "'10s', then = 'keep-trying'"),
            vec![0, 0, 0],
            vec![seconds; 3],
        ),
    ] {
        assert_eq!(waits(&text, &runs), want, "{text}");
    }
}

#[test]
fn a_short_good_run_delays_the_next_use() {
    let text = "start = 'on-demand'\nrestart = { backoff = '100ms..1s', stable = '10s' }";
    let mut life = Life::NEW;
    let mut held_off_after = |seconds| {
        let (success, ran_for) = (true, Duration::from_secs(seconds));
        let ended = Event::Exited { success, ran_for };
        life = step(&lifecycle(text), life.to(Ready), ended, NOW).0;
        life = step(&lifecycle(text), life, Event::Emptied, NOW).0;
        assert_eq!(life.state, Waiting);
        life.backoff.as_millis()
    };
    let waits = [0, 1, 2, 9, 9, 10, 0].map(&mut held_off_after);
    assert_eq!(waits, [100, 200, 400, 800, 1000, 0, 100]);
}
