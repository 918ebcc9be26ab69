//! Command-line arguments. Completions and manual pages are generated from the same definitions.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tare_log_format::{Boot, Regex};

/// Shows what runs on this Tare machine and changes it.
#[derive(Debug, Parser)]
#[command(name = "tare", version, disable_help_subcommand = true, after_help = EXIT_STATUS)]
pub struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// For the help and the manual.
const EXIT_STATUS: &str = "\
Exit status:
  0  done
  1  it was refused, or did not come about
  2  the command was not understood
  3  PID 1 cannot be reached, or its reply is invalid
  4  permission denied
  5  status --check: the machine is not ready
`service exec` ends as its program does, with 128 and the signal's number where one ended it.";

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Show answers as JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours; `auto`: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// The control socket
    #[arg(long, global = true, value_name = "PATH", env = "TARE_SOCKET", default_value = tare_control::SOCKET)]
    pub socket: PathBuf,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows how the machine is, on one screen
    Status {
        /// Exit with 5 unless the machine is ready and all is well
        #[arg(long)]
        check: bool,
    },
    /// Shows services and changes what they do
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Shows what services and the kernel said
    Logs {
        /// Only this service; may be given several times. `kernel`, `tare` (PID 1) and callers of syslog(3) have names, too
        #[arg(long = "service", value_name = "NAME")]
        services: Vec<String>,
        /// Which of it.
        #[command(flatten)]
        lines: Lines,
    },
    /// Shows how the boot went
    #[command(subcommand)]
    Boot(BootCommand),
    /// Shows what services use, live; keys: q, and n, c, m, t, r to sort
    Top {
        /// Seconds between two looks
        #[arg(short, long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
        delay: Duration,
        /// Show so many looks and end, without a terminal's keys
        #[arg(short = 'n', long, value_name = "COUNT")]
        count: Option<u32>,
    },
    /// Shows the latest events
    Events {
        /// Go on with what happens
        #[arg(short, long)]
        follow: bool,
    },
    /// Stops all services and reboots the machine
    Reboot,
    /// Stops all services and powers the machine off
    Poweroff,
    /// Shows the versions of this command and of the machine's system
    Version,
}

/// What to do with services.
#[derive(Debug, Subcommand)]
pub enum ServiceCommand {
    /// Lists all services
    List,
    /// Shows one service
    Show {
        /// Which
        name: String,
    },
    /// Starts a service and waits until it is ready or done
    Start(Change),
    /// Stops a service, until it is started, and waits until it has ended
    Stop(Change),
    /// Stops and starts a service and waits until it is ready or done
    Restart(Change),
    /// Runs a program in a service's container, with the service's rights, and ends as it does
    Exec {
        /// Which
        name: String,
        /// Add to the environment
        #[arg(short, long, value_name = "KEY=VALUE")]
        env: Vec<String>,
        /// The program and its arguments, after `--`
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Shows what a service said
    Logs {
        /// Which
        name: String,
        /// Which of it.
        #[command(flatten)]
        lines: Lines,
    },
    /// Shows what services may do, as the kernel says, and how much that is: 0 is nothing, 100 everything
    Audit {
        /// One service, with all details
        name: Option<String>,
    },
}

/// A service to change.
#[derive(Debug, Args)]
pub struct Change {
    /// Which
    pub name: String,
    /// Do not wait
    #[arg(long)]
    pub no_wait: bool,
    /// Seconds to wait at most
    #[arg(long, value_name = "SECONDS", default_value = "90", value_parser = seconds)]
    pub timeout: Duration,
}

/// Lines of the log.
#[derive(Debug, Args)]
pub struct Lines {
    /// Go on with what comes, after the last ten lines unless `-n` or `--since` says otherwise
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last COUNT
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub lines: Option<usize>,
    /// From a moment on: how long ago, as in `10min`, or UTC, as in `2026-11-21T04:12:35Z`
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<SystemTime>,
    /// Of one boot: 0 is the last one, -1 the one before, or the first 8 digits of its id
    #[arg(long, value_name = "BOOT", allow_negative_numbers = true, value_parser = Boot::parse)]
    pub boot: Option<Boot>,
    /// With a text that this regular expression matches; `(?i)` at its beginning: whatever the case
    #[arg(long, value_name = "PATTERN", value_parser = Regex::new)]
    pub grep: Option<Regex>,
    /// Of the log in another folder
    #[arg(long, value_name = "PATH")]
    pub folder: Option<PathBuf>,
}

/// What to show of the boot.
#[derive(Debug, Subcommand)]
pub enum BootCommand {
    /// Shows how long each part took, and which of them the machine waited for
    Analyze,
    /// Writes a picture of the boot (SVG) to standard output
    Plot,
}

fn moment(text: &str) -> Result<SystemTime, String> {
    tare_log_format::since(text, SystemTime::now())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())?;
    match duration.is_zero() {
        true => Err("not above zero".to_owned()),
        false => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definitions_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn spans_of_time() {
        for (text, want) in [
            ("1.5", Ok(Duration::from_millis(1500))),
            ("0", Err("not above zero".to_owned())),
            ("x", Err("not a number".to_owned())),
            (
                "-1",
                Err("cannot convert float seconds to Duration: value is negative".to_owned()),
            ),
        ] {
            assert_eq!(seconds(text), want);
        }
    }
}
