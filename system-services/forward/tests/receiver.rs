//! The service and a real rsyslog, which goes away and comes back.

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tare_log::{Files, Moment, Priority, Stamp, push};
use tare_qemu::free_port;
use tare_tests::Scratch;
use tare_tests::rsyslog::{Rsyslog, Transport};

/// Everything is on one machine; the rest is a busy one's.
const PATIENCE: Duration = Duration::from_secs(120);

/// A log, the service, and its receiver.
struct Bench {
    scratch: Scratch,
    rsyslog: Rsyslog,
    service: Option<Child>,
}

impl Bench {
    fn new(name: &str, transport: Transport) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let path = |name: &str| scratch.path().join(name);
        for folder in ["log", "state", "rsyslog"] {
            fs::create_dir(path(folder))?;
        }
        let port = free_port(0)?;
        let rsyslog = Rsyslog::new(&path("rsyslog"), transport, "localhost", port)?;
        let bench = Self {
            rsyslog,
            scratch,
            service: None,
        };
        let scheme = format!("{transport:?}").to_lowercase();
        bench.configure(
            &format!("{scheme}://localhost:{port}"),
            transport == Transport::Tls,
        )?;
        Ok(bench)
    }

    fn configure(&self, to: &str, tls: bool) -> Result<()> {
        let ca = if tls { Some(self.rsyslog.ca()?) } else { None };
        let mut forward =
            tare_config::parse::<toml::Table>("t", format!("to = '{to}'").as_bytes())?;
        forward.extend(ca.map(|ca| ("ca".to_owned(), ca.into())));
        let json = serde_json::json!({ "forward": forward });
        Ok(fs::write(self.path("config"), json.to_string())?)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn start(&mut self) -> Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tare-forward"));
        command.args(["log", "state", "config"].map(|name| self.path(name)));
        let said = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("said"))?;
        self.service = Some(command.stderr(Stdio::from(said)).spawn()?);
        Ok(())
    }

    fn end(&mut self, signal: Signal) -> Result<()> {
        let mut service = self.service.take().context("it does not run")?;
        kill(Pid::from_raw(service.id().try_into()?), signal)?;
        service.wait()?;
        Ok(())
    }

    /// Writes numbered records, as the log service does.
    fn write(&self, numbers: std::ops::Range<u32>) -> Result<()> {
        let stamp = Stamp::new(Moment::now(), "3f2a90c1");
        let mut lines = Vec::new();
        for number in numbers {
            let text = format!("number {number}");
            push(
                &mut lines,
                &stamp,
                Priority::WARNING,
                ["counter", "stdout"],
                text.as_bytes(),
            );
        }
        let current = Files::of(&self.path("log")).current();
        let mut file = OpenOptions::new().create(true).append(true).open(current)?;
        Ok(file.write_all(&lines)?)
    }

    fn rotate(&self, number: u64) -> Result<()> {
        let files = Files::of(&self.path("log"));
        Ok(fs::rename(files.current(), files.rotated_path(number))?)
    }

    /// Waits until the receiver has all numbers below `end`; how many more it has than that comes back.
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
            let said = fs::read_to_string(self.path("said"))?;
            ensure!(
                Instant::now() < until,
                "{} of {end}; it said:\n{said}",
                found.len()
            );
            sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            // It may have ended by itself.
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

/// Nothing is lost while the receiver is away, and while the service is killed.
fn over_absences(name: &str, transport: Transport) -> Result<()> {
    let mut bench = Bench::new(name, transport)?;
    bench.write(0..1000)?;
    bench.rsyslog.start()?;
    bench.start()?;
    println!("{} twice at first", bench.wait(1000)?);
    bench.rsyslog.stop()?;
    bench.write(1000..2000)?;
    bench.rotate(1)?;
    bench.write(2000..3000)?;
    bench.rsyslog.start()?;
    println!("{} twice after an absence", bench.wait(3000)?);
    bench.write(3000..4000)?;
    bench.end(Signal::SIGKILL)?;
    bench.write(4000..5000)?;
    bench.start()?;
    println!("{} twice after a kill", bench.wait(5000)?);
    // What it has sent is on its way when it ends, and the next run goes on behind it.
    bench.end(Signal::SIGTERM)?;
    let before = bench.wait(5000)?;
    bench.write(5000..5001)?;
    bench.start()?;
    assert_eq!(bench.wait(5001)?, before);
    bench.scratch_done()
}

impl Bench {
    fn scratch_done(mut self) -> Result<()> {
        self.end(Signal::SIGTERM)?;
        self.rsyslog.stop()?;
        Ok(fs::remove_dir_all(self.scratch.path())?)
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
    // Nobody tells when it listens: what comes before is lost, as datagrams are.
    let until = Instant::now() + PATIENCE;
    bench.start()?;
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
        bench.write(written..written + 1)?;
        written += 1;
        sleep(Duration::from_millis(100));
    };
    let fields: Vec<&str> = first.split(' ').collect();
    assert_eq!(fields[..4], ["counter", "stdout", "4", "-"], "{first}");
    bench.scratch_done()
}

#[test]
fn a_receiver_that_somebody_else_signed_gets_nothing() -> Result<()> {
    let mut bench = Bench::new("forward-stranger", Transport::Tls)?;
    let stranger = bench.path("stranger");
    fs::create_dir(&stranger)?;
    let other = Rsyslog::new(&stranger, Transport::Tls, "localhost", 1)?;
    let config = fs::read_to_string(bench.path("config"))?;
    let json = |text: String| serde_json::Value::String(text).to_string();
    let changed = config.replace(&json(bench.rsyslog.ca()?), &json(other.ca()?));
    ensure!(
        changed != config,
        "the certificate is not in the configuration"
    );
    fs::write(bench.path("config"), changed)?;
    bench.write(0..10)?;
    bench.rsyslog.start()?;
    bench.start()?;
    let until = Instant::now() + PATIENCE;
    while !fs::read_to_string(bench.path("said"))?.contains("invalid peer certificate") {
        ensure!(
            Instant::now() < until,
            "{}",
            fs::read_to_string(bench.path("said"))?
        );
        sleep(Duration::from_millis(50));
    }
    let received = bench.rsyslog.received()?;
    ensure!(
        !received.iter().any(|line| line.contains(" number ")),
        "{received:?}"
    );
    bench.scratch_done()
}
