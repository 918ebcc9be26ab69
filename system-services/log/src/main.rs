//! Keeps what the services, the kernel and callers of `syslog(3)` say.
//!
//! # Files
//!
//! `/var/log/tare/current.log`, and rotated ones before it as `NUMBER.log`, the highest number
//! being the youngest. `LOG_FILE` (8 MiB) is the size at which a file is rotated, `LOG_TOTAL`
//! (64 MiB) what all of them may take; the oldest go first. A line of them:
//!
//! ```text
//! 2026-11-21T04:12:35.527Z 12.345678 ssh stderr Server listening on 0.0.0.0 port 22.
//! ```
//!
//! the wall clock (RFC 3339, UTC), seconds since the boot, who, where, and the text. The wall
//! clock may jump when the time is set; the seconds never do. Where is `stdout` or `stderr` for a
//! service, and the severity (`err`, `info`, …) for `kernel` and `syslog`. Control characters are
//! written as `\xNN`, as the kernel does in `/dev/kmsg`.
//!
//! # What is lost when
//!
//! Lines are written at least once a second; the kernel brings them to the disk within half a
//! minute, and rotation and the end of the service bring them there at once. While the disk is
//! full or failing the last 256 KiB are kept in memory, and how many lines that cost is noted.
//!
//! # Sources
//!
//! PID 1 hands over the read end of each service's pipes on descriptor 3 ([`streams`]) and never
//! reads them itself; it keeps them open, so that nothing is lost while this service restarts. The
//! kernel's ring ([`kmsg`]) goes on after the last record that was kept.

mod kmsg;
mod line;
mod sources;
mod store;
mod streams;
mod syslog;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use sd_notify::NotifyState;
use signal_hook::consts::{SIGINT, SIGTERM};
use sources::Sources;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use store::{Limits, Store};
use tare_config::Bytes;

/// Where the files go; a volume.
const FOLDER: &str = "/var/log/tare";
/// A directory shared with who calls `syslog(3)`; gone at power off.
const SHARED: &str = "/run/log";
/// How long a line waits at most before it is written.
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Collects until SIGTERM or SIGINT.
fn run() -> io::Result<()> {
    let stop = stop_signals()?;
    let mut store = Store::new(Path::new(FOLDER), limits()?);
    let mut sources = Sources::open(Path::new(SHARED));
    sd_notify::notify(&[NotifyState::Ready])?;
    let mut written = Instant::now();
    while !wait(&stop, &sources, &store)? {
        sources.read(&mut store);
        if written.elapsed() >= PATIENCE || store.is_eager() {
            sources.end_lines(&mut store);
            store.write();
            sources.remember();
            written = Instant::now();
        }
    }
    sources.drain(&mut store);
    store.close();
    sources.remember();
    Ok(())
}

/// `LOG_FILE` and `LOG_TOTAL` of the environment.
fn limits() -> io::Result<Limits> {
    Ok(Limits {
        file: size("LOG_FILE", 8)?,
        total: size("LOG_TOTAL", 64)?,
    })
}

fn size(variable: &str, default_mib: u64) -> io::Result<u64> {
    let Ok(text) = std::env::var(variable) else {
        return Ok(Bytes::mib(default_mib).0);
    };
    let size = Bytes::try_from(text).map(|size| size.0);
    size.map_err(|error| io::Error::other(format!("{variable}: {error}")))
}

/// A socket that can be read once the process is asked to end.
fn stop_signals() -> io::Result<UnixStream> {
    let (read, write) = UnixStream::pair()?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
    }
    Ok(read)
}

/// Waits until there is something to read, a second at most while something is to be written; true
/// means that it is time to end.
fn wait(stop: &UnixStream, sources: &Sources, store: &Store) -> io::Result<bool> {
    let mut polled = vec![PollFd::new(stop, PollFlags::IN)];
    polled.extend(
        sources
            .descriptors()
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)),
    );
    let unwritten = sources.has_open_line() || !store.is_empty();
    let patience = unwritten.then_some(Timespec {
        tv_sec: PATIENCE.as_secs() as i64,
        tv_nsec: 0,
    });
    match poll(&mut polled, patience.as_ref()) {
        Ok(_) => Ok(!polled[0].revents().is_empty()),
        Err(Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
