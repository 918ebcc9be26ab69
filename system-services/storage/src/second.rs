//! A disk of the machine's configuration, beside the one that the system runs from: `tare-storage disk NAME`.
//!
//! | found | done |
//! |---|---|
//! | no disk, or several, or one that another table means too | reported, until one comes or goes |
//! | a blank one | `mkfs`, if the table has `format` |
//! | ext4, XFS | `e2fsck -p`; the kernel replays the log of an XFS |
//! | anything else | reported and left alone |
//!
//! Then it is mounted, for all that see the folder, and grown when the disk has grown. It stays mounted when this service
//! ends: whether the machine ends too, or the table has changed, cannot be told, and its users go on.
//!
//! The main thread waits for events and for nothing else. Everything that may wait for a disk is in a thread of its
//! own, and if that does not come back, only this disk is missing.

mod content;
mod devices;
mod plan;
mod waits;
mod watch;
mod work;

use crate::say::{note, say, to_log_service, warn};
use plan::Device;
use sd_notify::NotifyState;
use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Instant;
use tare_config::machine::Disks;
use waits::Waits;
use work::{Outcome, Work, absent};

/// The tables, written by PID 1.
const DISKS: &str = "/run/config/disks.json";

/// What the main thread waits for.
#[derive(Debug)]
enum Message {
    /// A disk may have come, gone or grown.
    Devices,
    /// What is being done.
    Doing(String),
    /// A look is over.
    Done(Outcome),
    /// PID 1 asks it to end.
    Stop,
}

/// Serves the disk called `name` until SIGTERM.
pub(crate) fn main(name: &str) -> ExitCode {
    to_log_service();
    match run(name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            warn(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(name: &str) -> io::Result<()> {
    let disks: Disks = serde_json::from_slice(&std::fs::read(DISKS)?)?;
    let disk = disks.get(name).cloned();
    let disk = disk.ok_or_else(|| io::Error::other(format!("there is no disk {name}")))?;
    let (sender, inbox) = channel();
    watch::signals(sender.clone())?;
    watch::devices(sender.clone())?;
    let service = Service {
        waits: Waits::new(Instant::now(), disk.required),
        work: Work {
            name: name.to_owned(),
            disks,
            disk,
            handled: None,
        },
        problem: None,
        doing: String::new(),
        is_stopping: false,
        sender,
    };
    service.serve(&inbox);
    Ok(())
}

struct Service {
    work: Work,
    waits: Waits,
    /// What was last said about the disk; empty if it is mounted.
    problem: Option<String>,
    /// What the look that runs is doing.
    doing: String,
    is_stopping: bool,
    sender: Sender<Message>,
}

impl Service {
    fn serve(mut self, inbox: &Receiver<Message>) {
        loop {
            let now = Instant::now();
            if self.is_stopping && !self.waits.is_looking() {
                return;
            }
            if !self.is_stopping && self.waits.begin_look(now) {
                self.look();
            }
            if self.waits.is_late(now) {
                if self.waits.is_looking() {
                    self.problem(format!("{} takes long", self.doing));
                }
                self.ready();
            }
            let message = match self.waits.next() {
                Some(at) => inbox.recv_timeout(at.saturating_duration_since(now)),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match message {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                // Cannot happen: we hold a sender.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        let (work, sender) = (self.work.clone(), self.sender.clone());
        "looking for the disk".clone_into(&mut self.doing);
        thread::spawn(move || {
            // The receiver lives as long as the process.
            let says = |text| drop(sender.send(Message::Doing(text)));
            let outcome = work.look(&says);
            drop(sender.send(Message::Done(outcome)));
        });
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Devices => self.waits.devices_changed(Instant::now()),
            Message::Doing(text) => {
                note(&text);
                tell(&[NotifyState::Status(&text)]);
                self.doing = text;
            }
            Message::Done(outcome) => {
                self.waits.end_look();
                self.took(outcome);
            }
            Message::Stop => self.is_stopping = true,
        }
    }

    fn took(&mut self, outcome: Outcome) {
        let target = self.work.disk.mount.as_str().to_owned();
        match outcome {
            Outcome::Mounted(device) => {
                let text = format!("{} on {target}", device.name);
                say(&format!("mounted {text}"));
                self.handled(Some(device), String::new());
                tell(&[NotifyState::Status(&text)]);
                self.ready();
            }
            Outcome::Unchanged(device) => {
                let text = match self.problem.as_deref() {
                    None | Some("") => format!("{} on {target}", device.name),
                    Some(_) => String::new(),
                };
                tell(&[NotifyState::Status(&text)]);
            }
            Outcome::Absent { settled } => {
                self.handled(None, absent(&self.work.disk));
                if settled && !self.work.disk.required {
                    self.ready();
                }
            }
            Outcome::Refused(device, why) => {
                self.handled(device, why);
                self.ready();
            }
        }
    }

    fn handled(&mut self, device: Option<Device>, problem: String) {
        self.work.handled = device;
        self.problem(problem);
    }

    /// Says what is wrong, once; nothing if `text` is empty.
    fn problem(&mut self, text: String) {
        if self.problem.as_ref() == Some(&text) {
            return;
        }
        if !text.is_empty() {
            warn(&text);
            tell(&[NotifyState::Status("")]);
        }
        tell(&[NotifyState::Custom(&format!("X_TARE_PROBLEM={text}"))]);
        self.problem = Some(text);
    }

    /// Whatever waits for the disk may start.
    fn ready(&mut self) {
        if self.waits.end() {
            tell(&[NotifyState::Ready]);
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn(&format!("notify: {error}"));
    }
}
