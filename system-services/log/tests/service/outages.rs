//! While the disk cannot be written to, lines wait in memory; kills lose none of them.

use crate::machine::{CONFIG, Machine, random};
use std::fs;
use std::io::Write;
use std::thread::{self, sleep};
use std::time::Duration;

const LINES: u64 = 3000;

#[test]
fn lines_wait_in_memory_and_come_in_order() {
    let mut machine = Machine::new("outages", CONFIG, &["a"]);
    let mut output = machine.output("a");
    let writing = thread::spawn(move || {
        for number in 0..LINES {
            output.write_all(format!("{number}\n").as_bytes()).unwrap();
            sleep(Duration::from_micros(500));
        }
    });
    let (log, away) = (machine.log(), machine.log().with_extension("away"));
    let mut random = random();
    while !writing.is_finished() {
        machine.start();
        sleep(Duration::from_millis(5 + random.u64(..1200)));
        match log.exists() {
            true => fs::rename(&log, &away).unwrap(),
            false => fs::rename(&away, &log).unwrap(),
        }
        sleep(Duration::from_millis(random.u64(..50)));
        machine.kill();
    }
    if away.exists() {
        fs::rename(&away, &log).unwrap();
    }
    machine.start();
    machine.stop();
    let want: Vec<String> = (0..LINES).map(|number| number.to_string()).collect();
    assert_eq!(machine.texts("a"), want);
}
