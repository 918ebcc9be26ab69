//! Talks to programs in a guest: ssh and HTTP.

use std::process::Output;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};

use crate::banner::{self, Ports};
use crate::builder::{CLOSED, SSH};
use crate::http::{self, Response};
use crate::lost::Lost;
use crate::vm::{AGAIN, Vm};
use crate::wait::secs;

/// Timeout for a command over ssh.
const COMMAND: Duration = secs(30);
/// ssh's own exit status if the session did not end by itself.
const NO_SESSION: i32 = 255;
/// Timeout for a trivial login, real time. If the machine does not answer, the rest of the test is skipped.
const ANSWER: Duration = secs(60);

impl Vm {
    /// Waits until sshd sends its banner.
    ///
    /// # Errors
    /// As [`Vm::wait_ready`].
    pub fn wait_ssh(&self, patience: Duration) -> Result<()> {
        let ports = Ports {
            ssh: self.forwarded(SSH)?,
            closed: self.forwarded(CLOSED)?,
        };
        let well = || self.require_well();
        self.client()?.hang_up();
        if !banner::wait(ports, self.deadline(patience), well)? {
            let error = self.explained(&anyhow!("no ssh banner in time"));
            return Err(Lost::from(error).into());
        }
        Ok(())
    }

    /// Runs `command` as root and returns what it wrote to stdout.
    ///
    /// # Errors
    /// It does not exit with 0; the error has its stderr and the console's tail.
    pub fn ssh(&self, command: &str) -> Result<String> {
        self.ssh_within(command, COMMAND)
    }

    /// As [`Vm::ssh`], for commands that take longer than half a minute.
    ///
    /// # Errors
    /// As [`Vm::ssh`].
    pub fn ssh_within(&self, command: &str, patience: Duration) -> Result<String> {
        let output = self.ssh_output_within(command, patience)?;
        self.said(command, &output)
    }

    fn said(&self, command: &str, output: &Output) -> Result<String> {
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            let error = anyhow!("ssh `{command}`: {}: {}", output.status, stderr.trim_end());
            return Err(self.explained(&error));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `command` as root, whatever its exit status.
    ///
    /// # Errors
    /// The command is late, or the machine is in trouble.
    pub fn ssh_output(&self, command: &str) -> Result<Output> {
        self.ssh_output_within(command, COMMAND)
    }

    /// Runs `command` as root with its own login, and returns what it wrote to stdout; other commands share one.
    ///
    /// # Errors
    /// As [`Vm::ssh`].
    pub fn login(&self, command: &str, patience: Duration) -> Result<String> {
        let output = self.client()?.login(command, self.scaled(patience));
        self.said(command, &self.answered(output)?)
    }

    /// Runs `command` as root, which shuts the machine down, possibly before its own session can report success.
    ///
    /// # Errors
    /// The command fails.
    pub fn ssh_to_the_end(&self, command: &str) -> Result<()> {
        let output = self.client()?.output(command, self.scaled(COMMAND))?;
        match output.status.code() {
            Some(0 | NO_SESSION) => Ok(()),
            _ => self.said(command, &output).map(drop),
        }
    }

    fn ssh_output_within(&self, command: &str, patience: Duration) -> Result<Output> {
        let output = self.client()?.output(command, self.scaled(patience));
        self.answered(output)
    }

    /// If a command is late, finds out whether the command or the machine is to blame.
    fn answered(&self, output: Result<Output>) -> Result<Output> {
        self.require_well()?;
        output.map_err(|error| {
            let error = self.explained(&error);
            let answer = self.client().and_then(|ssh| ssh.login("true", ANSWER));
            match answer {
                Ok(_) => error,
                Err(silence) => Lost::from(error.context(silence)).into(),
            }
        })
    }

    /// GETs `path` from `port` of the guest, once.
    ///
    /// # Errors
    /// There is no HTTP response.
    pub fn http_get(&self, port: u16, path: &str) -> Result<Response> {
        http::get(self.forwarded(port)?, path, self.scaled(secs(5)))
    }

    /// GETs `path` from `port` of the guest until it answers with 200, and returns the body.
    ///
    /// # Errors
    /// As [`Vm::wait_ready`]; with the last answer.
    pub fn wait_http(&self, port: u16, path: &str, patience: Duration) -> Result<String> {
        let deadline = self.deadline(patience);
        loop {
            let why = match self.http_get(port, path) {
                Ok(Response { status: 200, body }) => return Ok(body),
                Ok(other) => anyhow!("{path} answers {}", other.status),
                Err(error) => error.context(format!("no answer from {path}")),
            };
            self.require_well()?;
            if deadline.left().is_none() {
                return Err(self.explained(&why));
            }
            thread::sleep(AGAIN);
        }
    }

    fn forwarded(&self, guest: u16) -> Result<u16> {
        self.port(guest)
            .with_context(|| format!("port {guest} of the guest is not forwarded"))
    }
}
