//! The pure parts of the benchmark, which has no test harness of its own.

#[path = "../benches/system/answers.rs"]
mod answers;
#[path = "../benches/system/spread.rs"]
mod spread;
#[path = "../benches/system/tables.rs"]
mod tables;

use answers::Idle;
use spread::Spread;
use tables::Table;

#[test]
fn the_median_and_its_range() {
    let spread = |median, min, max| Some(Spread { median, min, max });
    for (values, want) in [
        (&[][..], None),
        (&[2.0], spread(2.0, 2.0, 2.0)),
        (&[9.0, 1.0, 2.0], spread(2.0, 1.0, 9.0)),
        (&[4.0, 1.0, 2.0, 3.0], spread(2.5, 1.0, 4.0)),
    ] {
        assert_eq!(Spread::of(values), want);
    }
}

#[test]
fn an_idle_guest() {
    let idle = Idle::parse("MemTotal 1000\nMemAvailable 600\nProcesses 12\n").unwrap();
    assert_eq!(
        idle,
        Idle {
            memory: 409_600.0,
            processes: 12.0
        }
    );
    let error = Idle::parse("MemTotal 1000\n").unwrap_err();
    assert_eq!(
        error.to_string(),
        "no MemAvailable in what the guest says: MemTotal 1000\n"
    );
}

#[test]
fn processes_without_those_that_look() {
    let text = "VmRSS 2048\nProcess 10 tmux: server\nProcess 3 docker\nProcess 20 dockerd\nProcess 1 busybox\n";
    let want = [("tmux: server", 10_240.0), ("dockerd", 20_480.0)];
    assert_eq!(
        answers::processes(text),
        want.map(|(name, pss)| (name.to_owned(), pss))
    );
    assert_eq!(answers::pid1_rss(text).unwrap(), 2_097_152.0);
}

#[test]
fn durations_are_differences() {
    assert_eq!(
        answers::durations("Run 10.5 12\nnoise\nRun 1 1.25\n"),
        [1.5, 0.25]
    );
}

#[test]
fn tables_can_be_read_as_they_are() {
    let mut table = Table::new(&["", "Tare"]);
    table.row(vec!["start → ssh".to_owned(), "1.0 s".to_owned()]);
    table.row(vec!["off".to_owned(), "–".to_owned()]);
    let want = "|             |  Tare |\n\
                |-------------|------:|\n\
                | start → ssh | 1.0 s |\n\
                | off         |     – |\n";
    assert_eq!(table.text(), want);
}
