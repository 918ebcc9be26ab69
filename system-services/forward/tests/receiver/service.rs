//! The service, the log it reads, and the state it keeps.

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tare_log_format::{Files, Moment, Priority, Stamp, push};
use tare_tests::Scratch;

const PROGRAM: &str = env!("CARGO_BIN_EXE_tare-forward");

/// A log and the service that sends it.
pub(crate) struct Service {
    scratch: Scratch,
    child: Option<Child>,
}

impl Service {
    pub(crate) fn new(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        for folder in ["log", "state"] {
            fs::create_dir(scratch.path().join(folder))?;
        }
        Ok(Self {
            scratch,
            child: None,
        })
    }

    /// Configures where to send to and, if the receiver has a certificate, the CA that signs it.
    pub(crate) fn configure(&self, to: &str, ca: Option<String>) -> Result<()> {
        let mut forward =
            tare_config::parse::<toml::Table>("t", format!("to = '{to}'").as_bytes())?;
        forward.extend(ca.map(|ca| ("ca".to_owned(), ca.into())));
        let json = serde_json::json!({ "forward": forward });
        Ok(fs::write(self.path("config"), json.to_string())?)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        self.spawn(Command::new(PROGRAM))
    }

    /// Hands it `socket` for the output of containers, as PID 1 does (`sd_listen_fds(3)`).
    pub(crate) fn start_with(&mut self, socket: &UnixListener) -> Result<()> {
        let mut command = Command::new("sh");
        let script = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 </dev/null";
        command.args(["-c", script, PROGRAM]);
        command.stdin(OwnedFd::from(socket.try_clone()?));
        self.spawn(command)
    }

    fn spawn(&mut self, mut command: Command) -> Result<()> {
        command.args(["log", "state", "config"].map(|name| self.path(name)));
        let said = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path("said"))?;
        self.child = Some(command.stderr(Stdio::from(said)).spawn()?);
        Ok(())
    }

    pub(crate) fn end(&mut self, signal: Signal) -> Result<()> {
        self.signal(signal)?;
        let mut child = self.child.take().context("it does not run")?;
        child.wait()?;
        Ok(())
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let child = self.child.as_ref().context("it does not run")?;
        Ok(kill(Pid::from_raw(child.id().try_into()?), signal)?)
    }

    /// Writes numbered records, as the log service does.
    pub(crate) fn write(&self, numbers: std::ops::Range<u32>) -> Result<()> {
        self.write_padded(numbers, "")
    }

    /// Writes numbered records that end with `padding`.
    pub(crate) fn write_padded(&self, numbers: std::ops::Range<u32>, padding: &str) -> Result<()> {
        let stamp = Stamp::new(Moment::now(), "3f2a90c1");
        let mut lines = Vec::new();
        for number in numbers {
            let text = format!("number {number}{padding}");
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

    pub(crate) fn rotate(&self, number: u64) -> Result<()> {
        let files = Files::of(&self.path("log"));
        Ok(fs::rename(files.current(), files.rotated_path(number))?)
    }

    /// The service's output.
    pub(crate) fn said(&self) -> Result<String> {
        Ok(fs::read_to_string(self.path("said"))?)
    }

    /// Removes the service's files; a failed test keeps them.
    pub(crate) fn remove(&self) -> Result<()> {
        Ok(fs::remove_dir_all(self.scratch.path())?)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The service may have exited by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
