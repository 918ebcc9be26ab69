//! PID 1's end of the process that talks to the kernel about the network.
//!
//! A request over rtnetlink runs in its sender: to bring a link up is the driver's `open`, which may load firmware for
//! seconds, under a lock that others hold for as long. PID 1 asks this process instead, and never waits for it.

use crate::plan::network::Step;
use crate::supervisor::Event;
use crate::task::Task;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::sleep;

/// The name under which our executable is that process.
pub(crate) const NAME: &str = "tare-network";
/// Between the end of one and the start of the next.
const RESTART: Duration = Duration::from_secs(1);

/// The process, started anew whenever it ends.
pub(super) struct Process {
    plans: watch::Sender<Vec<Step>>,
    _keeper: Task,
}

impl Process {
    pub(super) fn start(events: UnboundedSender<Event>) -> Self {
        let (plans, wanted) = watch::channel(Vec::new());
        Self {
            plans,
            _keeper: Task::spawn(keep(wanted, events)),
        }
    }

    /// Has these steps set, and what earlier ones set besides taken back.
    pub(super) fn set(&self, steps: Vec<Step>) {
        self.plans.send_if_modified(|plan| {
            let differs = *plan != steps;
            *plan = steps;
            differs
        });
    }
}

async fn keep(mut plans: watch::Receiver<Vec<Step>>, events: UnboundedSender<Event>) {
    loop {
        let ended = match spawn() {
            Ok(stream) => talk(stream, &mut plans, &events).await,
            Err(error) => error,
        };
        log::error!("network: {ended}; starting again");
        sleep(RESTART).await;
    }
}

fn spawn() -> io::Result<UnixStream> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let mut command = Command::new("/proc/self/exe");
    command.arg0(NAME).stdout(Stdio::null());
    // Reaped with the orphans.
    command.stdin(OwnedFd::from(theirs)).spawn()?;
    UnixStream::from_std(ours)
}

/// Hands over every plan and takes every report, a line of JSON each, until the process ends; why.
async fn talk(
    mut stream: UnixStream,
    plans: &mut watch::Receiver<Vec<Step>>,
    events: &UnboundedSender<Event>,
) -> io::Error {
    // A new process knows of none.
    plans.mark_changed();
    let (read, mut write) = stream.split();
    let mut lines = BufReader::new(read).lines();
    loop {
        tokio::select! {
            Ok(()) = plans.changed() => {
                let plan = plans.borrow_and_update().clone();
                if let Err(error) = write.write_all(&line(&plan)).await {
                    return error;
                }
            }
            line = lines.next_line() => match received(line) {
                Ok(report) => drop(events.send(Event::Network(report))),
                Err(error) => return error,
            },
        }
    }
}

/// `message` as a line of JSON.
pub(super) fn line(message: &impl serde::Serialize) -> Vec<u8> {
    // Our messages have no maps whose keys are not strings, which is what could fail.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What a line holds.
pub(super) fn received<T: serde::de::DeserializeOwned>(
    line: io::Result<Option<String>>,
) -> io::Result<T> {
    let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(serde_json::from_str(&line)?)
}
