//! A service that exceeds its rate loses the excess, and others are not affected.

use crate::machine::{Machine, random};
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"{"total":"64MiB","file":"8MiB","age":"1h","rate":500,"burst":2000}"#;
/// The number of lines of the flood.
const FLOOD: u64 = 200_000;
/// The number of lines of the quiet service beside it.
const QUIET: u64 = 100;
/// How long a line may wait to be read, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many lines of the flood were kept and dropped, according to the log.
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

/// Writes a line, and waits until the log has read it from the pipe.
fn write_and_wait(output: &mut File, line: &str) {
    let started = Instant::now();
    output.write_all(line.as_bytes()).unwrap();
    while rustix::io::ioctl_fionread(&*output).unwrap() > 0 {
        assert!(started.elapsed() < PATIENCE, "{line} is not taken");
        sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_line_is_kept_or_counted_and_others_are_heard_meanwhile() {
    let mut machine = Machine::new("floods", CONFIG, &["flood", "quiet"]);
    let (mut flood, mut quiet) = (machine.output("flood"), machine.output("quiet"));
    let heard = Arc::new(AtomicBool::new(false));
    let until = Arc::clone(&heard);
    machine.start();
    let started = Instant::now();
    // The flood does not end before all lines of the quiet service have been read.
    let flooding = thread::spawn(move || {
        let lines = (0..).take_while(|number| *number < FLOOD || !until.load(Ordering::Relaxed));
        let write = |number: &u64| {
            let line = format!("{number} of a flood\n");
            flood.write_all(line.as_bytes()).unwrap();
        };
        lines.inspect(write).count() as u64
    });
    for number in 0..QUIET {
        write_and_wait(&mut quiet, &format!("{number}\n"));
    }
    heard.store(true, Ordering::Relaxed);
    let written = flooding.join().unwrap();
    machine.stop();
    let seconds = started.elapsed().as_secs() + 1;
    let (kept, dropped) = account(&machine);
    println!("kept {kept}, dropped {dropped} in {seconds} s");
    assert_eq!(kept + dropped, written);
    assert!((2000..=2000 + 500 * seconds).contains(&kept), "{kept}");
    let want: Vec<String> = (0..QUIET).map(|number| number.to_string()).collect();
    assert_eq!(machine.texts("quiet"), want);
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
    let mut random = random();
    while !flooding.is_finished() {
        machine.start();
        sleep(Duration::from_micros(random.u64(..30_000)));
        machine.kill();
    }
    machine.start();
    machine.stop();
    let (kept, dropped) = account(&machine);
    println!("kept {kept}, dropped {dropped}");
    assert_eq!(kept + dropped, FLOOD / 2);
}
