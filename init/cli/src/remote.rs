//! `tare --host`: the command on another machine, over ssh.

use crate::Failed;
use crate::args::{Arguments, Command, ConfigCommand, ServiceCommand};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process;

/// What ssh exits with when it cannot connect.
const NO_CONNECTION: i32 = 255;

/// Runs this command, whose own arguments are `args`, on `host`. A file that it reads is one of this machine.
pub(crate) fn run(host: &str, arguments: &Arguments, args: Vec<OsString>) -> Result<(), Failed> {
    let file = file(arguments);
    let mut ssh = process::Command::new("ssh");
    if file.is_none() && io::stdin().is_terminal() && io::stdout().is_terminal() {
        ssh.arg("-t");
    }
    ssh.args(["--", host]);
    ssh.arg(command(args, arguments));
    if let Some(file) = file {
        let open = File::open(file);
        let open =
            open.map_err(|error| Failed::NotSo(format!("read {}: {error}", file.display())))?;
        ssh.stdin(open);
    }
    let status = ssh
        .status()
        .map_err(|error| Failed::NotSo(format!("ssh: {error}")))?;
    match status.code() {
        Some(0) => Ok(()),
        Some(NO_CONNECTION) => Err(Failed::NotSo(format!(
            "ssh {host}: the connection could not be made, or has ended"
        ))),
        code => Err(Failed::Program(
            code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1),
        )),
    }
}

/// The file that the command reads, other than standard input.
fn file(arguments: &Arguments) -> Option<&Path> {
    match &arguments.command {
        Command::Config(ConfigCommand::Apply { file, .. } | ConfigCommand::Validate { file }) => {
            Some(file.as_path()).filter(|file| *file != Path::new("-"))
        }
        _ => None,
    }
}

/// How many words at the end are a program and its arguments, in which `--host` is theirs. TARE_HOST may have named the host.
fn others(arguments: &Arguments) -> usize {
    match &arguments.command {
        Command::Toolbox { command } | Command::Service(ServiceCommand::Exec { command, .. }) => {
            command.len()
        }
        _ => 0,
    }
}

/// What the shell of the other machine runs: the same without our own `--host`, and with `-` for a file.
fn command(args: Vec<OsString>, arguments: &Arguments) -> String {
    let mut words = vec!["tare".to_owned()];
    // The words before it may be the same.
    let at = file(arguments).and_then(|file| args.iter().rposition(|arg| arg == file));
    let ours = args.len().saturating_sub(others(arguments));
    let mut args = args.into_iter().enumerate();
    let mut is_over = false;
    while let Some((n, arg)) = args.next() {
        is_over = is_over || n >= ours || arg == "--";
        if !is_over && arg == "--host" {
            args.next();
            continue;
        }
        if !is_over && arg.to_string_lossy().starts_with("--host=") {
            continue;
        }
        if at == Some(n) {
            words.push("-".to_owned());
            continue;
        }
        words.push(quoted(&arg.to_string_lossy()));
    }
    words.join(" ")
}

/// For any POSIX shell.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[test]
    fn the_command_of_the_other_machine() {
        for (args, want) in [
            (&["--host", "root@edge-17", "status"][..], "tare status"),
            (&["status", "--host=edge", "--json"], "tare status --json"),
            (
                &[
                    "--host", "h", "service", "exec", "ssh", "--", "ls", "--host", "it's", "",
                ],
                r"tare service exec ssh -- ls --host 'it'\''s' ''",
            ),
            (
                &["--host", "h", "config", "set", "hostname", "$(x) y"],
                "tare config set hostname '$(x) y'",
            ),
            (
                &["config", "apply", "a.toml", "--host", "h", "--dry-run"],
                "tare config apply - --dry-run",
            ),
            (
                &["--host", "h", "config", "apply", "apply"],
                "tare config apply -",
            ),
            (
                &["--host", "h", "config", "validate", "-"],
                "tare config validate -",
            ),
        ] {
            let line = [&["tare"], args].concat();
            let arguments = Arguments::try_parse_from(line).unwrap();
            assert!(arguments.global.host.is_some());
            let args = args.iter().map(OsString::from).collect();
            assert_eq!(command(args, &arguments), want);
        }
    }

    #[test]
    fn an_argument_of_a_program_stays_where_the_environment_names_the_host() {
        for (args, want) in [
            (
                &["toolbox", "curl", "--host", "x"][..],
                "tare toolbox curl --host x",
            ),
            (
                &["toolbox", "--host", "h", "curl", "--host=x"],
                "tare toolbox curl --host=x",
            ),
            (
                &["service", "exec", "ssh", "--", "a", "--host", "x"],
                "tare service exec ssh -- a --host x",
            ),
        ] {
            let arguments = Arguments::try_parse_from([&["tare"], args].concat()).unwrap();
            let args = args.iter().map(OsString::from).collect();
            assert_eq!(command(args, &arguments), want);
        }
    }
}
