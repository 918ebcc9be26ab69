//! The process that passes output on, and its next start.

use super::ARGUMENT;
use std::env;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tare_config::machine::Log;

/// The section `[log]` of the machine's configuration.
const CONFIG: &str = "/run/config/log.json";
/// It needs no right but that of the group `docker`.
const USER: u32 = 65534;
const GROUP: u32 = 102;
/// It ends only when it fails or is killed. What it has not passed on, the next one does.
const WAIT: Duration = Duration::from_secs(10);

/// The process, if it is wanted.
pub(crate) struct Process {
    wanted: bool,
    child: Option<Child>,
    due: Instant,
}

impl Process {
    /// Not started yet.
    pub(crate) fn new() -> Self {
        Self {
            wanted: fs::read(CONFIG).is_ok_and(|bytes| is_wanted(&bytes)),
            child: None,
            due: Instant::now(),
        }
    }

    /// Time until its next start; `None` while it runs, and if it is not wanted.
    pub(crate) fn due_in(&self) -> Option<Duration> {
        let wait = self.due.saturating_duration_since(Instant::now());
        (self.wanted && self.child.is_none()).then_some(wait)
    }

    /// Starts it. If that fails, it is due later.
    pub(crate) fn start(&mut self) {
        self.due = Instant::now() + WAIT;
        match spawn() {
            Ok(child) => self.child = Some(child),
            Err(error) => eprintln!("<4>output of containers is not forwarded: {error}"),
        }
    }

    /// Reaps it, if it has ended.
    pub(crate) fn reap(&mut self) {
        let ended = self.child.as_mut().map(Child::try_wait);
        if let Some(Ok(Some(status))) = ended {
            eprintln!("<4>output of containers is not forwarded: {status}; starting again");
            self.child = None;
            self.due = Instant::now() + WAIT;
        }
    }
}

fn is_wanted(section: &[u8]) -> bool {
    let log: Option<Log> = serde_json::from_slice(section).ok();
    log.and_then(|log| log.forward)
        .is_some_and(|forward| forward.containers)
}

/// With another user, the process loses all capabilities when it executes this program.
fn spawn() -> io::Result<Child> {
    Command::new(env::current_exe()?)
        .arg(ARGUMENT)
        .stdin(Stdio::null())
        .uid(USER)
        .gid(GROUP)
        .spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_wanted_where_the_log_is_forwarded() {
        for (section, want) in [
            ("{}", false),
            (r#"{"forward":{"to":"udp://a"}}"#, true),
            (r#"{"forward":{"to":"udp://a","containers":true}}"#, true),
            (r#"{"forward":{"to":"udp://a","containers":false}}"#, false),
            ("null", false),
        ] {
            assert_eq!(is_wanted(section.as_bytes()), want, "{section}");
        }
    }
}
