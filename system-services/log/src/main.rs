//! Logs the output of services, the kernel and callers of `syslog(3)`, in the format of the library.
//!
//! `tare-log FOLDER STATE CONFIG PSTORE`: the files go to `FOLDER`, a volume. `STATE` is a folder of this service
//! alone, in memory that outlives the service but not the boot. `CONFIG` is the section `[log]` of the machine's
//! configuration. `PSTORE` holds the kernel's crash records ([`crash`]).
//!
//! # Sources
//!
//! PID 1 passes the read end of each service's pipes over descriptor 3 ([`handed`]). It never reads them itself, but
//! keeps them open so that nothing is lost while this service restarts. The kernel's ring ([`kmsg`]) is read from
//! after the last logged record. Each write to the log is atomic with the progress of its source ([`ledger`]), so
//! this process may be killed at any point.
//!
//! # What is lost when
//!
//! A power cut loses what the kernel has not written to the disk, 40 seconds at most (30 until it is old, 5 until
//! that is noticed, 5 until ext4 commits). When the service stops, it syncs everything. While the disk is full or
//! failing, the last 512 KiB are kept in memory, and the number of lines lost is noted. A service that exceeds its
//! rate loses the excess, and that is noted.

mod clock;
mod crash;
mod cut;
mod desk;
mod disk;
mod handed;
mod hash;
mod kmsg;
mod ledger;
mod limit;
mod pipe;
mod sources;
mod spill;
mod store;
mod syslog;
#[cfg(test)]
mod testing;

use desk::Desk;
use disk::Limits;
use handed::Handed;
use limit::{Buckets, Rate};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use sources::Sources;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use store::Store;
use tare_config::machine::Log;

/// How often incomplete lines, memory, the disk and failed operations are handled while there is a reason.
const TICK: Duration = Duration::from_secs(1);
/// How often to look for old files.
const LOOK: Duration = Duration::from_secs(3600);
/// After a read of fewer bytes than this, the service waits for more: waking up for every line of a service that
/// writes a lot would cost more than the lines.
const LITTLE: usize = 16 << 10;
/// How long it waits.
const LULL: Duration = Duration::from_millis(10);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Reports a problem. This service's own output is the kernel's log, where a line is one write and begins with the
/// writer's name.
pub(crate) fn complain(text: &str) {
    let line = format!("<4>log: {text}\n");
    // There is nowhere else to report an error.
    let _ = io::stderr().write_all(line.as_bytes());
}

/// Collects until SIGTERM or SIGINT.
fn run() -> io::Result<()> {
    let [folder, state, config, pstore] = arguments()?;
    let stop = stop_signals()?;
    let log = configuration(&config);
    let handed = Handed::take();
    let first = handed.as_ref().and_then(Handed::first);
    let boot = first.as_ref().and_then(|first| first.boot.clone());
    let boot = boot.unwrap_or_else(boot_id);
    let store = Store::open(&folder, &state, limits(&log), &boot)?;
    let mut desk = Desk::new(store, Buckets::new(rate(&log)));
    let mut sources = Sources::open(&state, &stop, handed)?;
    if let Some(first) = first {
        sources.add(first.streams, &mut desk);
    }
    sd_notify::notify(&[NotifyState::Ready])?;
    if let Err(error) = crash::collect(&pstore, &folder, &state, &mut desk) {
        complain(&format!("crash records: {error}"));
    }
    collect(&mut sources, &mut desk, &stop)?;
    desk.begin();
    sources.drain(&mut desk);
    desk.store.close();
    Ok(())
}

fn collect(sources: &mut Sources, desk: &mut Desk, stop: &UnixStream) -> io::Result<()> {
    let mut ticked = Instant::now();
    loop {
        let busy = sources.is_busy() || desk.store.waits();
        let ready = sources.wait(Some(if busy { TICK } else { LOOK }))?;
        if ready.stop {
            return Ok(());
        }
        desk.begin();
        let taken = sources.read(&ready, desk);
        if ticked.elapsed() >= TICK {
            sources.tick(desk);
            desk.store.tick();
            ticked = Instant::now();
        }
        if (1..LITTLE).contains(&taken) && !ready.is_urgent() {
            lull(stop);
        }
    }
}

/// Waits a moment for more input, or for a signal to exit.
fn lull(stop: &UnixStream) {
    let mut polled = [PollFd::new(stop, PollFlags::IN)];
    let moment = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(LULL.subsec_nanos()),
    };
    // The result does not matter: the next wait shows it.
    let _ = poll(&mut polled, Some(&moment));
}

fn arguments() -> io::Result<[PathBuf; 4]> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let count = arguments.len();
    arguments.try_into().map_err(|_| {
        io::Error::other(format!(
            "{count} arguments instead of FOLDER STATE CONFIG PSTORE"
        ))
    })
}

/// The configuration in the file at `path`; missing values have defaults.
fn configuration(path: &Path) -> Log {
    let read = std::fs::read(path);
    let log = read.and_then(|bytes| Ok(serde_json::from_slice(&bytes)?));
    log.unwrap_or_else(|error| {
        complain(&format!(
            "{}: {error}; going on with defaults",
            path.display()
        ));
        Log::default()
    })
}

fn limits(log: &Log) -> Limits {
    Limits {
        file: log.file.0,
        total: log.total.0,
        age: log.age.0,
    }
}

fn rate(log: &Log) -> Rate {
    Rate {
        lines: log.rate,
        burst: log.burst,
    }
}

/// Used if PID 1 did not pass the boot id, as under another runtime.
fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

/// A socket that becomes readable when the process is asked to exit.
fn stop_signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}
