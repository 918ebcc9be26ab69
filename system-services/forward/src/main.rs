//! Sends every record of the log to a syslog receiver: RFC 5424 over UDP (RFC 5426), TCP (RFC 6587, octet counting)
//! or TLS (RFC 5425).
//!
//! `tare-forward LOG STATE CONFIG`: the log's folder, the folder that stores the position up to which the receiver
//! has everything, and the section `[log]` of the machine's configuration.
//!
//! The output of containers is sent, too, if it is passed on to the socket that PID 1 hands over.
//!
//! The log itself is the buffer while the receiver is down. Nothing is stored twice; when the receiver comes back, it
//! gets everything that the log still has, and what the engine still has of containers.

mod containers;
mod counted;
mod link;
mod message;
mod place;
mod progress;
mod pump;
mod tls;

use containers::Containers;
use progress::Progress;
use pump::Pump;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tare_config::machine::{Forward, Log};

/// Wait between two tries: doubles from `LEAST` to `MOST`.
const LEAST: Duration = Duration::from_secs(1);
const MOST: Duration = Duration::from_secs(60);
/// How often a wait checks whether to exit.
const LOOK: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("<3>{error}");
            ExitCode::FAILURE
        }
    }
}

/// Sends until SIGTERM or SIGINT.
fn run() -> io::Result<()> {
    let [log, state, config] = arguments()?;
    let end = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        signal_hook::flag::register(signal, Arc::clone(&end))?;
    }
    let forward = configuration(&config)?;
    let progress = Progress::open(state.join("position.json"));
    let mut pump = Pump::new(log, Containers::listen()?, progress, hostname());
    sd_notify::notify(&[NotifyState::Ready])?;
    keep_sending(&forward, &mut pump, &end);
    Ok(())
}

/// Connects again and again. Each line logged here is itself forwarded, so a failure is reported only if it differs
/// from the last one, and a connection only once it has lasted for a while: some receivers accept and then fail.
fn keep_sending(forward: &Forward, pump: &mut Pump, end: &AtomicBool) {
    let receiver = String::from(forward.to.clone());
    let (mut wait, mut reported) = (Duration::ZERO, String::new());
    while !end.load(Ordering::Relaxed) {
        let mut since = None;
        let connected = link::connect(forward).and_then(|link| {
            since = Some(Instant::now());
            pump.run(link, end, || {
                eprintln!("<5>{receiver}: connected");
                reported.clear();
            })
        });
        if let Err(error) = connected.map_err(|error| error.to_string()) {
            if reported != error {
                eprintln!("<4>{receiver}: {error}; trying again");
                reported = error;
            }
        }
        wait = next_wait(wait, since.map_or(Duration::ZERO, |since| since.elapsed()));
        pause(wait, end);
    }
}

/// The wait after a connection that `lasted` this long, given the previous `wait`. Resets only after a connection
/// that lasted longer than any wait.
fn next_wait(wait: Duration, lasted: Duration) -> Duration {
    match lasted > MOST {
        true => LEAST,
        false => (wait * 2).clamp(LEAST, MOST),
    }
}

fn pause(wait: Duration, end: &AtomicBool) {
    let until = Instant::now() + wait;
    while Instant::now() < until && !end.load(Ordering::Relaxed) {
        sleep(LOOK.min(wait));
    }
}

fn arguments() -> io::Result<[PathBuf; 3]> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let count = arguments.len();
    arguments
        .try_into()
        .map_err(|_| io::Error::other(format!("{count} arguments instead of LOG STATE CONFIG")))
}

fn configuration(path: &PathBuf) -> io::Result<Forward> {
    let located = |error: String| io::Error::other(format!("{}: {error}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| located(error.to_string()))?;
    let log: Log = serde_json::from_slice(&bytes).map_err(|error| located(error.to_string()))?;
    log.forward
        .ok_or_else(|| located("names no receiver".to_owned()))
}

/// The host's name as written by PID 1; `-` is the protocol's value for an unknown name.
fn hostname() -> String {
    let name = std::fs::read_to_string("/run/host/hostname").unwrap_or_default();
    match name.trim() {
        "" => "-".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits() {
        let secs = Duration::from_secs;
        let mut wait = Duration::ZERO;
        for (lasted, want) in [
            (0, 1),
            (0, 2),
            (1, 4),
            (60, 8),
            (61, 1),
            (9, 2),
            (9, 4),
            (9, 8),
            (9, 16),
            (9, 32),
            (9, 60),
            (9, 60),
        ] {
            wait = next_wait(wait, secs(lasted));
            assert_eq!(wait, secs(want));
        }
    }
}
