//! No line is lost and none is there twice, wherever the service is killed.

use crate::machine::{CONFIG, Dice, Machine};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::Duration;

/// Kills, unless `TARE_LOG_KILLS` says how many.
const KILLS: u64 = 100;

/// What a writer has to do with each of its numbered lines.
type Write1 = Box<dyn FnMut(u64) + Send>;

/// Writes numbered lines until it is told to end, and tells how many.
fn writer(end: &Arc<AtomicBool>, mut write: Write1) -> JoinHandle<u64> {
    let end = Arc::clone(end);
    thread::spawn(move || {
        let lines = (0..).take_while(|_| !end.load(Ordering::Relaxed));
        lines.inspect(|number| write(*number)).count() as u64
    })
}

/// Lines of many lengths, some longer than a pipe writes at once.
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

/// Lines in two pieces.
fn in_pieces(machine: &Machine) -> Write1 {
    let mut output = machine.output("pieces");
    Box::new(move |number| {
        write!(output, "{number} ").unwrap();
        sleep(Duration::from_micros(300));
        output.write_all(b"rest\n").unwrap();
    })
}

/// As fast as it can.
fn flood(machine: &Machine) -> Write1 {
    let mut output = machine.output("flood");
    Box::new(move |number| {
        output.write_all(format!("{number}\n").as_bytes()).unwrap();
    })
}

/// Messages that are the same two by two but for their number.
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

#[test]
fn every_line_is_there_once() {
    let mut machine = Machine::new("kills", CONFIG, &["mixed", "pieces", "flood"]);
    let end = Arc::new(AtomicBool::new(false));
    let writers = [
        ("mixed", writer(&end, long_and_short(&machine))),
        ("pieces", writer(&end, in_pieces(&machine))),
        ("flood", writer(&end, flood(&machine))),
        ("caller", writer(&end, syslog(&machine))),
    ];
    let mut dice = Dice::new();
    for _ in 0..kills() {
        machine.start();
        sleep(Duration::from_micros(dice.below(10_000)));
        machine.kill();
    }
    machine.start();
    end.store(true, Ordering::Relaxed);
    let written = writers.map(|(service, writer)| (service, writer.join().unwrap()));
    machine.stop();
    for (service, lines) in written {
        require_numbers(service, &machine.texts(service), lines);
        println!("{service}: {lines} lines");
    }
}

/// The numbers of all lines, each once and in order. What is longer than a record goes on without a number.
fn require_numbers(service: &str, texts: &[String], lines: u64) {
    let number = |text: &String| text.split(' ').next().unwrap().parse::<u64>().unwrap();
    let found: Vec<u64> = texts.iter().map(number).collect();
    let wrong = (0..lines).zip(&found).find(|(want, found)| want != *found);
    assert_eq!((wrong, found.len() as u64), (None, lines), "{service}");
}
