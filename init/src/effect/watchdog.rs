//! Hardware watchdogs: they reset a machine whose PID 1 hangs (kernel documentation, `watchdog/watchdog-api.rst`).

use nix::errno::Errno;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pings per timeout, so that one ping may be late.
const PINGS: u32 = 3;

/// The watchdogs that are running.
#[derive(Debug, Default)]
pub(crate) struct Watchdogs(Vec<Watchdog>);

#[derive(Debug)]
struct Watchdog {
    device: File,
    /// How long it waits for a ping, as rounded by the driver.
    timeout: Duration,
}

mod ioctl {
    // `linux/watchdog.h`: sets the timeout in seconds and returns the one in effect.
    nix::ioctl_readwrite!(set_timeout, b'W', 6, nix::libc::c_int);
    // Returns the timeout in effect.
    nix::ioctl_read!(get_timeout, b'W', 7, nix::libc::c_int);
}

impl Watchdogs {
    /// Starts every watchdog of the machine. From now on they must be pinged.
    pub(crate) fn start(timeout: Duration) -> Self {
        let opened = devices().into_iter().filter_map(|path| open(&path));
        let mut watchdogs = Self(opened.collect());
        watchdogs.set_timeout(timeout);
        watchdogs
    }

    /// Starts those that do not run, and changes the timeout of those that do.
    pub(crate) fn run(&mut self, timeout: Duration) {
        match self.0.is_empty() {
            true => *self = Self::start(timeout),
            false => self.set_timeout(timeout),
        }
    }

    /// Changes the timeout of all; a driver that does not support it keeps its own.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        for watchdog in &mut self.0 {
            match set_timeout(&watchdog.device, timeout) {
                Ok(timeout) => watchdog.timeout = timeout,
                Err(error) => log::warn!("watchdog: timeout {timeout:?}: {error}"),
            }
        }
    }

    /// How long to wait between two pings; `None` without a watchdog.
    pub(crate) fn interval(&self) -> Option<Duration> {
        let timeouts = self.0.iter().map(|watchdog| watchdog.timeout);
        timeouts.min().map(|least| least / PINGS)
    }

    /// Pings them all.
    pub(crate) fn ping(&mut self) {
        self.write(b"\0");
    }

    /// Stops them all: the magic close character makes closing the device do that.
    pub(crate) fn stop(&mut self) {
        self.write(b"V");
        self.0.clear();
    }

    fn write(&mut self, bytes: &[u8]) {
        for watchdog in &mut self.0 {
            if let Err(error) = watchdog.device.write_all(bytes) {
                log::error!("watchdog: {error}");
            }
        }
    }
}

/// Every `/dev/watchdogN`; `/dev/watchdog` is the first of them again.
fn devices() -> Vec<PathBuf> {
    let names = fs::read_dir("/sys/class/watchdog").into_iter().flatten();
    let names = names.flatten().map(|entry| entry.file_name());
    let mut devices: Vec<PathBuf> = names.map(|name| Path::new("/dev").join(name)).collect();
    devices.sort();
    devices
}

fn open(path: &Path) -> Option<Watchdog> {
    match OpenOptions::new().write(true).open(path) {
        Ok(device) => Some(Watchdog {
            timeout: own_timeout(&device),
            device,
        }),
        Err(error) => {
            log::warn!("watchdog {}: {error}", path.display());
            None
        }
    }
}

/// The driver's own timeout, or a short one if the driver does not report it.
fn own_timeout(device: &File) -> Duration {
    const LITTLE: Duration = Duration::from_secs(3);
    let mut seconds = 0;
    // SAFETY: the request writes one `int`; `seconds` outlives the call.
    let asked = unsafe { ioctl::get_timeout(device.as_raw_fd(), &raw mut seconds) };
    let seconds = asked.ok().and_then(|_| u64::try_from(seconds).ok());
    seconds
        .filter(|seconds| *seconds > 0)
        .map_or(LITTLE, Duration::from_secs)
}

fn set_timeout(device: &File, timeout: Duration) -> io::Result<Duration> {
    let mut seconds = i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX);
    // SAFETY: the request takes one `int` and writes one back; `seconds` outlives the call.
    match unsafe { ioctl::set_timeout(device.as_raw_fd(), &raw mut seconds) } {
        Ok(_) => Ok(Duration::from_secs(u64::try_from(seconds).unwrap_or(1))),
        Err(Errno::ENOTTY | Errno::EOPNOTSUPP) => Err(io::Error::other("not supported")),
        Err(errno) => Err(errno.into()),
    }
}
