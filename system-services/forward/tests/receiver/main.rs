//! Tests the service with a real rsyslog that is stopped and restarted, and with receivers of our own that are late
//! or close connections at once.

#[cfg(test)]
mod connection;
#[cfg(test)]
mod containers;
#[cfg(test)]
mod fickle;
#[cfg(test)]
mod late;
#[cfg(test)]
mod service;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use service::Service;
use std::collections::BTreeSet;
use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};
use tare_qemu::free_port;
use tare_tests::rsyslog::{Rsyslog, Transport};

/// Everything runs on one machine; the rest is slack for a busy one.
const PATIENCE: Duration = Duration::from_secs(120);

/// The service and its receiver.
struct Bench {
    service: Service,
    rsyslog: Rsyslog,
}

impl Bench {
    fn new(name: &str, transport: Transport) -> Result<Self> {
        let service = Service::new(name)?;
        let folder = service.path("rsyslog");
        fs::create_dir(&folder)?;
        let port = free_port(0)?;
        let host = match transport {
            // UDP sends to the first address of a name, which need not be the receiver's.
            Transport::Udp => "127.0.0.1",
            Transport::Tcp | Transport::Tls => "localhost",
        };
        let rsyslog = Rsyslog::new(&folder, transport, host, port)?;
        let scheme = format!("{transport:?}").to_lowercase();
        let tls = transport == Transport::Tls;
        let ca = tls.then(|| rsyslog.ca()).transpose()?;
        service.configure(&format!("{scheme}://{host}:{port}"), ca)?;
        Ok(Self { service, rsyslog })
    }

    /// Waits until the receiver has all numbers below `end`. Returns how many messages it has beyond that.
    fn wait(&self, end: u32) -> Result<usize> {
        let until = Instant::now() + PATIENCE;
        let want: BTreeSet<u32> = (0..end).collect();
        loop {
            let received = self.rsyslog.received()?;
            let number = |line: &String| line.split_once(" number ")?.1.parse().ok();
            let numbers: Vec<u32> = received.iter().filter_map(number).collect();
            let found: BTreeSet<u32> = numbers.iter().copied().collect();
            if found == want {
                return Ok(numbers.len() - found.len());
            }
            let said = self.service.said()?;
            ensure!(
                Instant::now() < until,
                "{} of {end}; it said:\n{said}",
                found.len()
            );
            sleep(Duration::from_millis(50));
        }
    }
}

/// Nothing is lost while the receiver is down or when the service is killed.
fn over_absences(name: &str, transport: Transport) -> Result<()> {
    let mut bench = Bench::new(name, transport)?;
    bench.service.write(0..1000)?;
    bench.rsyslog.start()?;
    bench.service.start()?;
    println!("{} twice at first", bench.wait(1000)?);
    bench.rsyslog.stop()?;
    bench.service.write(1000..2000)?;
    bench.service.rotate(1)?;
    bench.service.write(2000..3000)?;
    bench.rsyslog.start()?;
    println!("{} twice after an absence", bench.wait(3000)?);
    bench.service.write(3000..4000)?;
    bench.service.end(Signal::SIGKILL)?;
    bench.service.write(4000..5000)?;
    bench.service.start()?;
    println!("{} twice after a kill", bench.wait(5000)?);
    // A record on its way to the log when the service is told to exit.
    bench.service.signal(Signal::SIGTERM)?;
    sleep(Duration::from_millis(200));
    bench.service.write(5000..5001)?;
    bench.service.end(Signal::SIGTERM)?;
    let before = bench.wait(5001)?;
    // What the service has sent is on its way when it exits, and the next run continues after it.
    bench.service.write(5001..5002)?;
    bench.service.start()?;
    assert_eq!(bench.wait(5002)?, before);
    bench.finish()
}

impl Bench {
    fn finish(mut self) -> Result<()> {
        self.service.end(Signal::SIGTERM)?;
        self.rsyslog.stop()?;
        self.service.remove()
    }
}

#[test]
fn over_tcp() -> Result<()> {
    over_absences("forward-tcp", Transport::Tcp)
}

#[test]
fn over_tls() -> Result<()> {
    over_absences("forward-tls", Transport::Tls)
}

#[test]
fn over_udp() -> Result<()> {
    let mut bench = Bench::new("forward-udp", Transport::Udp)?;
    bench.rsyslog.start()?;
    // There is no sign of when rsyslog listens; datagrams sent before that are lost.
    let until = Instant::now() + PATIENCE;
    bench.service.start()?;
    let mut written = 0;
    let first = loop {
        let received = bench.rsyslog.received()?;
        if let Some(line) = received
            .into_iter()
            .find(|line| line.starts_with("counter "))
        {
            break line;
        }
        ensure!(Instant::now() < until, "nothing is received");
        bench.service.write(written..written + 1)?;
        written += 1;
        sleep(Duration::from_millis(100));
    };
    let fields: Vec<&str> = first.split(' ').collect();
    assert_eq!(fields[..4], ["counter", "stdout", "4", "-"], "{first}");
    bench.finish()
}

#[test]
fn a_receiver_with_another_ca_gets_nothing() -> Result<()> {
    let mut bench = Bench::new("forward-stranger", Transport::Tls)?;
    let stranger = bench.service.path("stranger");
    fs::create_dir(&stranger)?;
    let other = Rsyslog::new(&stranger, Transport::Tls, "localhost", 1)?;
    let config = fs::read_to_string(bench.service.path("config"))?;
    let json = |text: String| serde_json::Value::String(text).to_string();
    let changed = config.replace(&json(bench.rsyslog.ca()?), &json(other.ca()?));
    ensure!(
        changed != config,
        "the certificate is not in the configuration"
    );
    fs::write(bench.service.path("config"), changed)?;
    bench.service.write(0..10)?;
    bench.rsyslog.start()?;
    bench.service.start()?;
    let until = Instant::now() + PATIENCE;
    while !bench.service.said()?.contains("invalid peer certificate") {
        ensure!(Instant::now() < until, "{}", bench.service.said()?);
        sleep(Duration::from_millis(50));
    }
    let received = bench.rsyslog.received()?;
    ensure!(
        !received.iter().any(|line| line.contains(" number ")),
        "{received:?}"
    );
    bench.finish()
}
