//! PID 1's side of the process that talks to the kernel about the network.
//!
//! The kernel handles an rtnetlink request in the context of its sender. Bringing a link up calls the driver's
//! `open`, which may load firmware for seconds, under a lock that others may hold for as long. PID 1 asks this
//! process instead, and never waits for it.

use crate::event::{Event, NetworkEvent};
use crate::plan::network::Step;
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

/// The name under which our executable runs as that process.
pub(crate) const NAME: &str = "tare-network";
/// The wait between the end of the process and its restart.
const RESTART: Duration = Duration::from_secs(1);

/// The process, restarted whenever it ends.
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

    /// Has these steps applied, and earlier ones that are not among them reverted.
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

/// Sends every plan and receives every report, a line of JSON each, until the process ends. Returns why it ended.
async fn talk(
    mut stream: UnixStream,
    plans: &mut watch::Receiver<Vec<Step>>,
    events: &UnboundedSender<Event>,
) -> io::Error {
    // A new process has no plan yet.
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
                Ok(report) => drop(events.send(NetworkEvent::Changed(report).into())),
                Err(error) => return error,
            },
        }
    }
}

/// `message` as a line of JSON.
pub(super) fn line(message: &impl serde::Serialize) -> Vec<u8> {
    // Cannot fail: only a map with keys that are not strings would, and our messages have none.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Parses a received line.
pub(super) fn received<T: serde::de::DeserializeOwned>(
    line: io::Result<Option<String>>,
) -> io::Result<T> {
    let line = line?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(serde_json::from_str(&line)?)
}
