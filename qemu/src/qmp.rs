//! QEMU's machine protocol: commands to a running QEMU, and its events.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::wait::Deadline;

/// QEMU names errors by Linux's numbers.
const EIO: u32 = 5;

/// QEMU answers at once unless its host is starved.
const REPLY: Duration = Duration::from_secs(60);

/// A connection to QEMU's monitor.
#[derive(Debug)]
pub struct Qmp {
    /// Held for a whole exchange, so that a reply belongs to the command before it.
    writer: Mutex<UnixStream>,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    messages: Mutex<Messages>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Messages {
    reply: Option<Value>,
    events: Vec<Value>,
    closed: bool,
}

impl Qmp {
    /// Opens the socket `name` in `folder` and reads QEMU's greeting.
    ///
    /// # Errors
    /// QEMU does not listen (yet), or does not answer.
    pub(crate) fn connect(folder: &Path, name: &str) -> Result<Self> {
        let stream = connect_in(folder, name)?;
        let inbox = Arc::new(Inbox::default());
        let (reader, source) = (Arc::clone(&inbox), stream.try_clone()?);
        thread::spawn(move || reader.fill(source));
        let qmp = Self {
            writer: Mutex::new(stream),
            inbox,
        };
        qmp.execute("qmp_capabilities", &json!({}))?;
        Ok(qmp)
    }

    /// Runs a command and returns what QEMU answers.
    ///
    /// # Errors
    /// QEMU's own error, or QEMU is gone.
    pub fn execute(&self, command: &str, arguments: &Value) -> Result<Value> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(
            writer,
            "{}",
            json!({"execute": command, "arguments": arguments})
        )
        .with_context(|| format!("QMP {command}"))?;
        let reply = self
            .inbox
            .wait(Deadline::after(REPLY), |messages| messages.reply.take());
        match reply.with_context(|| format!("QMP {command}"))? {
            Value::Object(mut reply) if reply.contains_key("return") => Ok(reply["return"].take()),
            error => bail!("QMP {command}: {}", error["error"]["desc"]),
        }
    }

    /// Presses the power button: an ACPI event in the guest.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn power_button(&self) -> Result<()> {
        self.execute("system_powerdown", &json!({})).map(drop)
    }

    /// Limits writes to the first disk to this many bytes per second; 0 removes the limit.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn slow_disk(&self, bytes_per_second: u64) -> Result<()> {
        let disks = self.execute("query-block", &json!({}))?;
        let limits = json!({
            "id": disks[0]["qdev"],
            "bps": 0, "bps_rd": 0, "bps_wr": bytes_per_second,
            "iops": 0, "iops_rd": 0, "iops_wr": 0,
        });
        self.execute("block_set_io_throttle", &limits).map(drop)
    }

    /// From now on the first disk, a qcow2 file over another one, fails every write with EIO. Reads still succeed.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn fail_writes(&self) -> Result<()> {
        let rule = json!({"event": "none", "iotype": "write", "errno": EIO, "once": false});
        self.reopen_with_faults(json!({"inject-error": [rule]}))
    }

    /// Puts a `blkdebug` with these options below the first disk.
    fn reopen_with_faults(&self, mut faulty: Value) -> Result<()> {
        let nodes = self.execute("query-named-block-nodes", &json!({"flat": true}))?;
        let find = |wanted: &dyn Fn(&Value) -> bool| {
            let mut nodes = nodes.as_array().into_iter().flatten();
            nodes.find(|node| wanted(node)).cloned().unwrap_or_default()
        };
        let disk = find(&|node| node["node-name"] == "disk0");
        let file = find(&|node| node["file"] == disk["file"] && node["drv"] == "file");
        let below = find(&|node| node["file"] == disk["backing_file"] && node["drv"] != "file");
        faulty["driver"] = "blkdebug".into();
        faulty["node-name"] = "faulty".into();
        faulty["image"] = file["node-name"].clone();
        self.execute("blockdev-add", &faulty)?;
        let disk = json!({
            "driver": "qcow2", "node-name": "disk0", "file": "faulty", "backing": below["node-name"],
            "discard": "unmap", "cache": {"no-flush": true},
        });
        self.execute("blockdev-reopen", &json!({"options": [disk]}))
            .map(drop)
    }

    /// Holds the first disk's next flush until [`Qmp::resume_flush`], so that the disk hangs for the guest.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; the flush cannot be held.
    pub fn suspend_flush(&self) -> Result<()> {
        self.reopen_with_faults(json!({}))?;
        self.disk_io("break flush_to_os held")
    }

    /// Lets the flush continue.
    ///
    /// # Errors
    /// As [`Qmp::execute`]; no flush is held.
    pub fn resume_flush(&self) -> Result<()> {
        self.disk_io("resume held")
    }

    /// Names the device, not its node: to reopen a node, QEMU waits for all requests, including the held one.
    fn disk_io(&self, command: &str) -> Result<()> {
        let disks = self.execute("query-block", &json!({}))?;
        let device = disks[0]["qdev"].as_str().context("no first disk")?;
        let said = self.monitor(&format!("qemu-io -d {device} \"{command}\""))?;
        ensure!(said.trim().is_empty(), "qemu-io {command}: {said}");
        Ok(())
    }

    /// Presses these keys together; names are QEMU's, such as `ctrl`.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub fn keys(&self, names: &[&str]) -> Result<()> {
        let keys: Vec<_> = names
            .iter()
            .map(|name| json!({"type": "qcode", "data": name}))
            .collect();
        self.execute("send-key", &json!({"keys": keys})).map(drop)
    }

    /// Runs a command of the human monitor, for what QMP has no command for.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub(crate) fn monitor(&self, line: &str) -> Result<String> {
        let reply = self.execute("human-monitor-command", &json!({"command-line": line}))?;
        Ok(reply.as_str().unwrap_or_default().to_owned())
    }

    /// Waits for the event `name`, such as `RESET`, and takes it. An earlier event that was not taken counts, too.
    ///
    /// # Errors
    /// `patience` passes, or QEMU exits first.
    pub fn wait_event(&self, name: &str, patience: Duration) -> Result<Value> {
        let take = |messages: &mut Messages| messages.take_event(name);
        self.inbox
            .wait(Deadline::after(patience), take)
            .with_context(|| format!("QMP event {name}"))
    }

    /// The event `name`, if QEMU sent it before it exited.
    pub(crate) fn event_at_exit(&self, name: &str) -> Option<Value> {
        self.wait_event(name, REPLY).ok()
    }
}

/// Whether a QEMU listens on the socket `name` in `folder`.
pub(crate) fn is_open(folder: &Path, name: &str) -> bool {
    connect_in(folder, name).is_ok()
}

/// Connects through the open folder, because a socket's path may have only 107 bytes.
fn connect_in(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = File::open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

impl Inbox {
    fn fill(&self, source: UnixStream) {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            if let Ok(message) = serde_json::from_str(&line) {
                self.lock().take_in(message);
                self.changed.notify_all();
            }
        }
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn wait<T>(
        &self,
        deadline: Deadline,
        mut seen: impl FnMut(&mut Messages) -> Option<T>,
    ) -> Result<T> {
        let mut messages = self.lock();
        loop {
            if let Some(found) = seen(&mut messages) {
                return Ok(found);
            }
            if messages.closed {
                bail!("QEMU has exited");
            }
            let left = deadline.left().context("the deadline has passed")?;
            let waited = self.changed.wait_timeout(messages, left);
            messages = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Messages> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Messages {
    /// Events have a name; the greeting has neither name nor result and is ignored.
    fn take_in(&mut self, message: Value) {
        if message.get("event").is_some() {
            self.events.push(message);
        } else if message.get("QMP").is_none() {
            self.reply = Some(message);
        }
    }

    /// The first event `name` that was not taken.
    fn take_event(&mut self, name: &str) -> Option<Value> {
        let place = self
            .events
            .iter()
            .position(|event| event["event"] == name)?;
        Some(self.events.remove(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_event_is_taken_once() {
        let mut messages = Messages::default();
        for (name, device) in [("ADDED", "a"), ("DELETED", "a"), ("DELETED", "b")] {
            messages.take_in(json!({"event": name, "data": device}));
        }
        for (name, want) in [
            ("DELETED", Some("a")),
            ("DELETED", Some("b")),
            ("DELETED", None),
            ("ADDED", Some("a")),
        ] {
            let device = messages.take_event(name).map(|event| event["data"].clone());
            assert_eq!(device, want.map(Value::from), "{name}");
        }
    }
}
