//! DHCPv4 client (RFC 2131): `tare-dhcp LINK…`.
//!
//! It requests a lease on every given link and changes nothing itself. It tells PID 1 over
//! `sd_notify` what to apply: `X_TARE_LEASE={json}` ([`LeaseReport`](tare_config::LeaseReport)) for each new or renewed
//! lease and `X_TARE_LEASE_LOST=LINK` when one is gone. PID 1 sets the links up beforehand.
//!
//! - [`client`]: the protocol, a pure state machine
//! - [`message`]: its packets, [`datagram`]: the IPv4 and UDP headers around them
//! - [`lease`]: what PID 1 is told
//! - [`link`]: one link's sockets and its state
//!
//! Left out: DECLINE after an ARP probe (RFC 5227), RELEASE (an address should survive a reboot)
//! and INIT-REBOOT (the server remembers which client had which address).

#![forbid(unsafe_op_in_unsafe_fn)]

mod client;
mod datagram;
mod lease;
mod link;
mod message;

use link::Link;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use sd_notify::NotifyState;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How often a link without a carrier is checked while it has no lease.
const CARRIER_INTERVAL: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Serves the links of the command line until SIGTERM or SIGINT.
fn run() -> io::Result<()> {
    let stop = stop_signals()?;
    let start = Instant::now();
    let mut links = open_links(std::env::args().skip(1));
    tell(&[NotifyState::Ready]);
    loop {
        for link in &mut links {
            link.tick(start.elapsed());
        }
        if wait(&stop, &links, start)? {
            return Ok(());
        }
        for link in &mut links {
            link.receive(start.elapsed());
        }
    }
}

/// Opens each link; one that cannot be opened is reported and skipped.
fn open_links(names: impl Iterator<Item = String>) -> Vec<Link> {
    names
        .filter_map(|name| match Link::open(&name) {
            Ok(link) => Some(link),
            Err(error) => {
                eprintln!("{name}: open: {error}");
                None
            }
        })
        .collect()
}

/// A descriptor that becomes readable when the process is asked to exit. A handler is needed: the
/// kernel does not deliver signals without one to the first process of a pid namespace, which this
/// process is.
fn stop_signals() -> io::Result<SignalFd> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block()?;
    Ok(SignalFd::with_flags(&signals, SfdFlags::SFD_CLOEXEC)?)
}

/// Waits for a packet, a deadline or a signal; true means that it is time to exit.
fn wait(stop: &SignalFd, links: &[Link], start: Instant) -> io::Result<bool> {
    let mut polled = vec![PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    polled.extend(
        links
            .iter()
            .map(|link| PollFd::new(link.as_fd(), PollFlags::POLLIN)),
    );
    match poll(&mut polled, timeout(links, start.elapsed())) {
        Ok(_) => Ok(polled[0].any().unwrap_or(false)),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Time until the first deadline of any link, in whole milliseconds, rounded up.
fn timeout(links: &[Link], now: Duration) -> PollTimeout {
    let next = links.iter().filter_map(Link::deadline).min();
    let Some(wait) = next.map(|deadline| deadline.saturating_sub(now)) else {
        return PollTimeout::NONE;
    };
    PollTimeout::try_from(wait + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
}

/// Notifies PID 1. A datagram that cannot be sent is reported; the next lease notifies again.
fn tell(states: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(states) {
        eprintln!("notify: {error}");
    }
}
