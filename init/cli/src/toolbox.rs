//! `tare toolbox`.

use crate::args::Change;
use crate::change::Wish;
use crate::run::Context;
use crate::{Failed, change, exec};
use std::io::{self, Write};
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

/// The service with the tools.
const SERVICE: &str = "toolbox";
/// A script of its image: takes a folder and a command, runs a shell without one, and ends with 127 if there is no such
/// command.
const PROGRAM: &str = "/usr/libexec/tare/toolbox";
/// How long the service may take to start: what `tare service start` gives it.
const PATIENCE: Duration = Duration::from_secs(90);
/// A start that takes longer is announced.
const QUIET: Duration = Duration::from_secs(1);

/// Starts the service unless it runs, and runs `command`, or a shell, in its container.
pub(crate) fn toolbox(context: &Context, command: &[String]) -> Result<(), Failed> {
    start(context)?;
    let folder = std::env::current_dir().unwrap_or_else(|_| "/".into());
    exec::exec(context, SERVICE, &[], &args(&folder, command))
}

fn start(context: &Context) -> Result<(), Failed> {
    let change = Change {
        name: SERVICE.to_owned(),
        no_wait: false,
        timeout: PATIENCE,
    };
    let (started, waits) = channel::<()>();
    thread::Builder::new().spawn(move || {
        if waits.recv_timeout(QUIET) == Err(RecvTimeoutError::Timeout) {
            // A failure to write this cannot be reported.
            let _ = writeln!(io::stderr(), "tare: starting the toolbox");
        }
    })?;
    let outcome = change::reach(context, &change, Wish::Start);
    drop(started);
    outcome.map(drop)
}

fn args(folder: &Path, command: &[String]) -> Vec<String> {
    let mut args = vec![PROGRAM.to_owned(), folder.to_string_lossy().into_owned()];
    args.extend_from_slice(command);
    args
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    #[test]
    fn the_command_is_whatever_follows() {
        for (typed, want) in [
            ("toolbox", vec![]),
            ("toolbox -- ls -l", vec!["ls", "-l"]),
            (
                "toolbox strace -c true --json",
                vec!["strace", "-c", "true", "--json"],
            ),
            ("toolbox -- -x", vec!["-x"]),
        ] {
            let words = std::iter::once("tare").chain(typed.split(' '));
            let arguments = Arguments::try_parse_from(words).unwrap();
            assert!(!arguments.global.json, "{typed}");
            let Command::Toolbox { command } = arguments.command else {
                panic!("{typed}");
            };
            assert_eq!(command, want, "{typed}");
            let mut all = vec![PROGRAM, "/srv"];
            all.extend(want);
            assert_eq!(args(Path::new("/srv"), &command), all);
        }
    }
}
