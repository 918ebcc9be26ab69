//! Takes every resource it can get.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// Forks processes that fork processes.
pub(crate) fn breed() -> ! {
    loop {
        // This fails sooner or later; the processes already forked continue.
        let _ = Command::new("/proc/self/exe").arg("breed").spawn();
        thread::sleep(Duration::from_millis(1));
    }
}

/// Takes memory until it is killed.
pub(crate) fn hoard() -> ! {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    loop {
        hoard.push(vec![1; MIB]);
    }
}

/// Opens files until the limit, and keeps them open. Returns their number and the kernel's error.
pub(crate) fn leak() -> String {
    let mut leaked = Vec::new();
    loop {
        match File::open("/proc/self/status") {
            Ok(file) => leaked.push(file),
            Err(error) => {
                let count = leaked.len();
                std::mem::forget(leaked);
                return format!("{count}: {error}\n");
            }
        }
    }
}

/// Writes to the file at `path` until it is full. Returns the kernel's error.
pub(crate) fn fill(path: &str) -> String {
    match write_for_ever(path) {
        Ok(()) => "there is no end\n".to_owned(),
        Err(error) => format!("{}\n", error.kind()),
    }
}

/// Writes numbered lines to its output for `seconds`, as fast as possible. Returns their number.
pub(crate) fn shout(seconds: &str) -> String {
    let until = Instant::now() + Duration::from_secs(seconds.parse().unwrap_or(0));
    let mut output = BufWriter::new(io::stdout().lock());
    let mut lines = 0_u64;
    while Instant::now() < until {
        lines += 1;
        let _ = writeln!(output, "shout {lines}");
    }
    format!("{lines}\n")
}

fn write_for_ever(path: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    let zeroes = vec![0; MIB];
    loop {
        file.write_all(&zeroes)?;
    }
}
