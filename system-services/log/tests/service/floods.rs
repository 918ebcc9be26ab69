//! A service that writes more than it may loses what is too much, and others do not notice.

use crate::machine::{Dice, Machine};
use std::io::Write;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"{"total":"64MiB","file":"8MiB","age":"1h","rate":500,"burst":2000}"#;
/// Lines of the flood.
const FLOOD: u64 = 200_000;
/// Lines of the service beside it.
const QUIET: u64 = 100;

/// How many lines of the flood were kept and dropped, by what the log says.
fn account(machine: &Machine) -> (u64, u64) {
    let texts = machine.texts("flood");
    let dropped = |text: &String| {
        text.strip_suffix(" lines dropped: more than 500 a second")?
            .parse()
            .ok()
    };
    let counts: Vec<u64> = texts.iter().filter_map(dropped).collect();
    let kept = texts.len() - counts.len();
    (kept as u64, counts.iter().sum())
}

#[test]
fn every_line_is_kept_or_counted_and_others_are_not_slowed() {
    let mut machine = Machine::new("floods", CONFIG, &["flood", "quiet"]);
    let (mut flood, mut quiet) = (machine.output("flood"), machine.output("quiet"));
    machine.start();
    let flooding = thread::spawn(move || {
        for number in 0..FLOOD {
            flood
                .write_all(format!("{number} of a flood\n").as_bytes())
                .unwrap();
        }
    });
    let mut slowest = Duration::ZERO;
    for number in 0..QUIET {
        let started = Instant::now();
        quiet.write_all(format!("{number}\n").as_bytes()).unwrap();
        slowest = slowest.max(started.elapsed());
        sleep(Duration::from_millis(5));
    }
    flooding.join().unwrap();
    machine.stop();
    let (kept, dropped) = account(&machine);
    println!("kept {kept}, dropped {dropped}; the quiet one waited {slowest:?} at most");
    assert_eq!(kept + dropped, FLOOD);
    assert!((2000..20_000).contains(&kept), "{kept}");
    let want: Vec<String> = (0..QUIET).map(|number| number.to_string()).collect();
    assert_eq!(machine.texts("quiet"), want);
    // A pipe that has room never makes its writer wait; the rest is the scheduler's.
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

#[test]
fn the_count_survives_kills() {
    let mut machine = Machine::new("floods-kills", CONFIG, &["flood"]);
    let mut flood = machine.output("flood");
    let flooding = thread::spawn(move || {
        for number in 0..FLOOD / 2 {
            flood.write_all(format!("{number}\n").as_bytes()).unwrap();
        }
    });
    let mut dice = Dice::new();
    while !flooding.is_finished() {
        machine.start();
        sleep(Duration::from_micros(dice.below(30_000)));
        machine.kill();
    }
    machine.start();
    machine.stop();
    let (kept, dropped) = account(&machine);
    println!("kept {kept}, dropped {dropped}");
    assert_eq!(kept + dropped, FLOOD / 2);
}
