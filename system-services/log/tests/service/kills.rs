//! No line is lost, duplicated or truncated, wherever the service is killed or told to exit.

use crate::machine::{CONFIG, Machine, random};
use fastrand::Rng;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

/// The number of kills and exits, unless `TARE_LOG_KILLS` sets it.
const KILLS: u64 = 100;

/// What a writer does with each of its numbered lines.
type Write1 = Box<dyn FnMut(u64) + Send>;

/// Writes numbered lines until it is told to stop. Returns how many.
fn writer(end: &Arc<AtomicBool>, mut write: Write1) -> JoinHandle<u64> {
    let end = Arc::clone(end);
    thread::spawn(move || {
        let lines = (0..).take_while(|_| !end.load(Ordering::Relaxed));
        lines.inspect(|number| write(*number)).count() as u64
    })
}

/// Lines of many lengths, some longer than one atomic write to a pipe.
fn long_and_short(machine: &Machine) -> Write1 {
    let mut output = machine.output("mixed");
    Box::new(move |number| {
        let length = if number % 97 == 0 {
            9000
        } else {
            number * 7 % 300
        };
        let line = format!("{number} {}\n", "x".repeat(length as usize));
        output.write_all(line.as_bytes()).unwrap();
    })
}

/// The second half of a line.
const REST: &str = "rest";

/// Lines in two pieces.
fn in_pieces(machine: &Machine) -> Write1 {
    let mut output = machine.output("pieces");
    Box::new(move |number| {
        write!(output, "{number} ").unwrap();
        sleep(Duration::from_micros(300));
        output.write_all(format!("{REST}\n").as_bytes()).unwrap();
    })
}

/// Lines as fast as possible.
fn flood(machine: &Machine) -> Write1 {
    let mut output = machine.output("flood");
    Box::new(move |number| {
        output.write_all(format!("{number}\n").as_bytes()).unwrap();
    })
}

/// Messages of which every two differ only in their number.
fn syslog(machine: &Machine) -> Write1 {
    let caller = machine.caller();
    Box::new(move |number| {
        caller
            .send(format!("<13>caller: {number} \n").as_bytes())
            .unwrap();
        if number % 50 == 0 {
            sleep(Duration::from_millis(1));
        }
    })
}

fn kills() -> u64 {
    let asked = std::env::var("TARE_LOG_KILLS").ok();
    asked.map_or(KILLS, |kills| kills.parse().unwrap())
}

/// Starts the service again and again, each time for a moment that `end` ends, while all `writers` write.
fn over_runs(
    mut machine: Machine,
    writers: Vec<(&str, Write1)>,
    mut end: impl FnMut(&mut Machine, &mut Rng),
) {
    let done = Arc::new(AtomicBool::new(false));
    let begin = |(service, write)| (service, writer(&done, write));
    let writers: Vec<_> = writers.into_iter().map(begin).collect();
    let mut random = random();
    for _ in 0..kills() {
        machine.start();
        sleep(Duration::from_micros(random.u64(..10_000)));
        end(&mut machine, &mut random);
    }
    machine.start();
    done.store(true, Ordering::Relaxed);
    let join = |(service, writer): (_, JoinHandle<u64>)| (service, writer.join().unwrap());
    let written: Vec<(&str, u64)> = writers.into_iter().map(join).collect();
    machine.stop();
    for (service, lines) in written {
        require_numbers(service, &machine.texts(service), lines);
        println!("{service}: {lines} lines");
    }
}

#[test]
fn every_line_is_there_once() {
    let machine = Machine::new("kills", CONFIG, &["mixed", "pieces", "flood"]);
    let writers = vec![
        ("mixed", long_and_short(&machine)),
        ("pieces", in_pieces(&machine)),
        ("flood", flood(&machine)),
        ("caller", syslog(&machine)),
    ];
    over_runs(machine, writers, |machine, _| machine.kill());
}

/// Without a flood: a service that is told to exit first reads much of it, which takes long.
#[test]
fn no_line_is_cut_by_an_end() {
    let machine = Machine::new("ends", CONFIG, &["pieces"]);
    let writers = vec![
        ("pieces", in_pieces(&machine)),
        ("caller", syslog(&machine)),
    ];
    over_runs(machine, writers, |machine, random| match random.u64(..2) {
        0 => machine.kill(),
        _ => machine.stop(),
    });
}

#[test]
fn an_open_line_without_a_writer_is_there_when_the_machine_ends() {
    let mut machine = Machine::new("last-words", CONFIG, &["a"]);
    machine.start();
    machine.output("a").write_all(b"first\nlast words").unwrap();
    machine.close("a");
    machine.stop();
    assert_eq!(machine.texts("a"), ["first", "last words"]);
}

/// Requires the numbers of all lines, each once and in order. A line that is longer than a record continues without a
/// number, and so does a line whose writer was not scheduled for a second in the middle of it.
fn require_numbers(service: &str, texts: &[String], lines: u64) {
    let number = |text: &String| text.split(' ').next().unwrap().parse::<u64>().unwrap();
    let whole = texts.iter().filter(|text| *text != REST);
    let found: Vec<u64> = whole.map(number).collect();
    let wrong = (0..lines).zip(&found).find(|(want, found)| want != *found);
    assert_eq!((wrong, found.len() as u64), (None, lines), "{service}");
}
