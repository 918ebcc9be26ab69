//! Command-line arguments. Completions and manual pages are generated from the same definitions.

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};
use tare_config::Span;
use tare_log_format::{Boot, Regex};

/// Shows and changes what runs on this Tare machine.
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
  1  the request was refused or failed
  2  the command was not understood
  3  PID 1 cannot be reached, or its reply is invalid
  4  permission denied
  5  status --check: the machine is not ready
`service exec` and `toolbox` exit with the status of their program, or with 128 plus the number of the signal that
ended it.";

/// What every command takes.
#[derive(Debug, Args)]
pub struct Global {
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colours; `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Run the command on another Tare machine, over ssh, as in root@edge-17; files that it reads are those of this one
    #[arg(long, global = true, value_name = "HOST", env = "TARE_HOST")]
    pub host: Option<String>,
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
    /// Shows the machine's state on one screen
    Status {
        /// Exit with 5 unless the machine is ready and all is well
        #[arg(long)]
        check: bool,
    },
    /// Shows, starts, stops and enters services
    #[command(subcommand)]
    Service(ServiceCommand),
    /// Shows and restarts the apps of user-data
    #[command(subcommand)]
    App(AppCommand),
    /// Shows and runs the jobs of user-data
    #[command(subcommand)]
    Job(JobCommand),
    /// Shows the machine's configuration and where it comes from, and checks user-data
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Keeps secrets on the machine, to which its configuration refers as `{ credential = "NAME" }`
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Shows the log of services and of the kernel, or what a container has written
    Logs {
        /// What this container has written, as `docker logs` has it: its name, its id, or the beginning of that
        #[arg(long, value_name = "NAME", conflicts_with_all = ["services", "boot", "folder"])]
        container: Option<String>,
        /// Only this service; may be repeated. `kernel`, `tare` (PID 1) and the identifiers of syslog(3) count as services
        #[arg(long = "service", value_name = "NAME")]
        services: Vec<String>,
        /// Which lines.
        #[command(flatten)]
        lines: Lines,
    },
    /// Shows how long the boot took
    #[command(subcommand)]
    Boot(BootCommand),
    /// Shows what services use, live. Keys: q quits; n, c, m, t, r sort
    Top {
        /// Seconds between updates
        #[arg(short, long, value_name = "SECONDS", default_value = "2", value_parser = seconds)]
        delay: Duration,
        /// Exit after this many updates; no keys
        #[arg(short = 'n', long, value_name = "COUNT")]
        count: Option<u32>,
    },
    /// Opens a shell with tools for looking into the machine, or runs one of them
    ///
    /// It runs in a privileged container with strace, tcpdump, dig, htop, lsof, nft, mkfs, jq, vim, rsync and more. It
    /// sees the host's processes, network and devices, and the host's files at /host, read-only. Your files are under
    /// the same names as in this shell. The engine need not run. The container stays until `tare service stop toolbox`.
    #[command(verbatim_doc_comment)]
    Toolbox {
        /// The program and its arguments; without one, a shell
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
    /// Shows recent events
    Events {
        /// Keep showing new events
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
        /// The service's name
        name: String,
    },
    /// Starts a service and waits until it is ready or done
    Start(Change),
    /// Stops a service until someone starts it, and waits until it has ended
    Stop(Change),
    /// Stops and starts a service and waits until it is ready or done
    Restart(Change),
    /// Runs a program in a service's container with the service's rights, and exits with its status
    Exec {
        /// The service's name
        name: String,
        /// Set an environment variable; may be repeated
        #[arg(short, long, value_name = "KEY=VALUE")]
        env: Vec<String>,
        /// Without effect, for those who know `docker exec -it`
        #[arg(short, hide = true)]
        interactive: bool,
        /// Without effect: a terminal is passed on anyway
        #[arg(short, hide = true)]
        tty: bool,
        /// The program and its arguments, after `--`
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Shows the log of one service
    Logs {
        /// The service's name
        name: String,
        /// Which lines.
        #[command(flatten)]
        lines: Lines,
    },
    /// Shows the rights of services as the kernel sees them, and a score from 0 (none) to 100 (all)
    Audit {
        /// Only this service, in detail
        name: Option<String>,
    },
}

/// What to do with apps.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// Lists all apps
    List,
    /// Shows one app and its containers
    Show {
        /// The app's name
        name: String,
    },
    /// Shows what the containers of one app have written
    Logs {
        /// The app's name
        name: String,
        /// Keep showing new lines
        #[arg(short, long)]
        follow: bool,
        /// Only the last COUNT lines of each container
        #[arg(short = 'n', long, value_name = "COUNT")]
        lines: Option<usize>,
        /// Only newer lines: a duration such as `10m`, or a time such as `2026-11-21T04:12:35Z`
        #[arg(long, value_name = "WHEN")]
        since: Option<String>,
    },
    /// Restarts the containers of one app, and starts it as configured
    Restart(Change),
}

/// What to do with jobs.
#[derive(Debug, Subcommand)]
pub enum JobCommand {
    /// Lists all jobs, with their last and next runs
    List,
    /// Shows one job in detail
    Show {
        /// The job's name
        name: String,
    },
    /// Shows what the runs of one job have written
    Logs {
        /// The job's name
        name: String,
        /// Which lines.
        #[command(flatten)]
        lines: Lines,
    },
    /// Runs one job now, and waits until it has ended
    Run(Change),
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Shows what is set, as TOML; passwords are hidden
    Show {
        /// Where each key was set, as SOURCE:LINE
        #[arg(long)]
        origin: bool,
        /// Defaults, too
        #[arg(long)]
        all: bool,
    },
    /// Shows the value of a key, or of all keys in a table
    Get {
        /// A key with dots, such as `network.interfaces.eth0.addresses`
        key: String,
    },
    /// Shows where a key was set
    Origin {
        /// A key with dots, such as `network.interfaces.eth0.addresses`
        key: String,
    },
    /// Applies a text at once: it takes the place of all that was set on this machine before
    ///
    /// It is a source of its own, `local`, stronger than user-data, and stays across reboots. Nothing is changed unless all of
    /// it is valid. What need not change goes on as it is.
    Apply {
        /// The text; `-` means standard input
        file: PathBuf,
        /// How to change it
        #[command(flatten)]
        how: How,
    },
    /// Sets one key at once, on this machine, above user-data
    Set {
        /// A key with dots, such as `network.interfaces.eth0.addresses`
        key: String,
        /// Its value in TOML; what is none is text
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// How to change it
        #[command(flatten)]
        how: How,
    },
    /// Takes one key back at once, whatever has set it
    Unset {
        /// A key with dots, such as `network.interfaces.eth0.addresses`
        key: String,
        /// How to change it
        #[command(flatten)]
        how: How,
    },
    /// Opens what was set on this machine in an editor, then applies it
    ///
    /// The editor is that of VISUAL or EDITOR, or else vi. Where the text has errors, they are shown, and it can be edited
    /// again.
    Edit {
        /// How to change it
        #[command(flatten)]
        how: How,
    },
    /// Reads the sources of user-data again and takes on what they hold now, as the next boot would
    ///
    /// After `tare config rollback`, they count again from then on.
    Pull {
        /// Only say what it would change
        #[arg(long)]
        dry_run: bool,
        /// Take it back after this time, such as `60s`, unless `tare config confirm` comes before
        #[arg(long, value_name = "TIME", value_parser = patience)]
        confirm: Option<u64>,
    },
    /// Keeps a change that was made with `--confirm`
    Confirm {
        /// Its number, as the change has said; another one is not kept then
        number: Option<u64>,
    },
    /// Lists the generations: what was in force, since when, by whom, and whether the machine has been ready with it
    Generations,
    /// Shows the keys that differ between two generations
    Diff {
        /// The older one; without it, the one that the newer one was made from
        from: Option<u64>,
        /// The newer one; without it, the one in force
        to: Option<u64>,
    },
    /// Goes back to a generation at once
    ///
    /// Without a number it takes back a change that waits for its confirmation, or else goes back to the good generation before
    /// the one in force. User-data counts again once a boot finds other user-data.
    Rollback {
        /// Its number
        number: Option<u64>,
        /// Only say what it would change
        #[arg(long)]
        dry_run: bool,
        /// Take it back after this time, such as `60s`, unless `tare config confirm` comes before
        #[arg(long, value_name = "TIME", value_parser = patience)]
        confirm: Option<u64>,
    },
    /// Prints the JSON Schema of user-data, for editors
    Schema,
    /// Shows everything that is wrong with a text as user-data, and what that would cost
    ///
    /// It says what a boot of this machine would say. Where PID 1 is none of Tare's, the services are those of this
    /// release's image. Nothing is changed.
    Validate {
        /// The text; `-` means standard input
        file: PathBuf,
    },
}

/// What to do with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Sets a secret to what standard input holds, 64 KiB at most; what refers to it gets it at once
    ///
    /// What comes from SMBIOS, fw_cfg or the boot partition under the same name is stronger.
    Set {
        /// Its name: letters, digits, `.`, `_` and `-`
        name: String,
    },
    /// Lists the names of the secrets that were set
    List,
    /// Removes a secret that was set
    Remove {
        /// Its name
        name: String,
    },
}

/// How to change the configuration.
#[derive(Debug, Clone, Default, Args)]
pub struct How {
    /// Only say what it would change
    #[arg(long)]
    pub dry_run: bool,
    /// Only until the next boot: as the source `once`, stronger than `local`
    #[arg(long, conflicts_with = "confirm")]
    pub once: bool,
    /// Take it back after this time, such as `60s`, or at a power cut, unless `tare config confirm` comes before
    #[arg(long, value_name = "TIME", value_parser = patience)]
    pub confirm: Option<u64>,
}

/// A service, an app or a job to change.
#[derive(Debug, Clone, Args)]
pub struct Change {
    /// Its name
    pub name: String,
    /// Do not wait
    #[arg(long)]
    pub no_wait: bool,
    /// How long to wait at most, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "90", value_parser = seconds)]
    pub timeout: Duration,
}

/// Lines of the log.
#[derive(Debug, Default, Args)]
pub struct Lines {
    /// Keep showing new lines, after the last ten unless `-n` or `--since` is given
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last COUNT lines
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub lines: Option<usize>,
    /// Only newer lines: a duration such as `10min`, or a time in UTC such as `2026-11-21T04:12:35Z`
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub since: Option<SystemTime>,
    /// Only one boot: 0 is the last, -1 the one before it; or the first 8 digits of its id
    #[arg(long, value_name = "BOOT", allow_negative_numbers = true, value_parser = Boot::parse)]
    pub boot: Option<Boot>,
    /// Only lines whose text matches this regular expression; start it with `(?i)` to ignore case
    #[arg(long, value_name = "PATTERN", value_parser = Regex::new)]
    pub grep: Option<Regex>,
    /// Read the log in another folder
    #[arg(long, value_name = "PATH")]
    pub folder: Option<PathBuf>,
}

/// What to show of the boot.
#[derive(Debug, Subcommand)]
pub enum BootCommand {
    /// Shows how long each part took, and which parts the machine waited for
    Analyze,
    /// Writes a chart of the boot as SVG to standard output
    Plot,
}

fn moment(text: &str) -> Result<SystemTime, String> {
    tare_log_format::since(text, SystemTime::now())
}

/// Seconds, a day at most.
fn patience(text: &str) -> Result<u64, String> {
    let Span(time) = Span::try_from(text.to_owned())?;
    match time.as_secs() {
        seconds @ 1..=86_400 => Ok(seconds),
        _ => Err("from 1s to 24h".to_owned()),
    }
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
