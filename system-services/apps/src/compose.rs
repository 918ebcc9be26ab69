//! `docker compose`, whose output goes to the log.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::io::{self, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The plugin itself; the `docker` command would only find and run it.
const COMPOSE: &str = "/usr/libexec/docker/cli-plugins/docker-compose";

const LOOK: Duration = Duration::from_millis(100);

/// Where a specification comes from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Specification {
    /// Its text: YAML, of which JSON is a part.
    Text(Vec<u8>),
    /// A file; relative paths in it start at its folder.
    File(String),
}

impl Specification {
    /// Of an app as it is configured.
    pub(crate) fn of(app: &Value) -> Result<Self> {
        match (app["compose"].as_str(), app["compose-file"].as_str()) {
            (Some(text), _) => Ok(Self::Text(text.as_bytes().to_vec())),
            (_, Some(path)) => Ok(Self::File(path.to_owned())),
            _ => Ok(Self::Text(
                serde_json::to_vec(app).context("write the specification")?,
            )),
        }
    }

    /// What Compose reads from its standard input.
    fn text(&self) -> &[u8] {
        match self {
            Self::Text(text) => text,
            Self::File(_) => b"",
        }
    }
}

/// Brings the containers of app `name` into the state that `specification` describes. Containers already in it are left
/// alone.
pub(crate) fn up(name: &str, specification: &Specification) -> Result<()> {
    let file = match specification {
        Specification::Text(_) => "-",
        Specification::File(path) => path,
    };
    // Of a text, relative paths start at the app's own folder.
    let folder = format!("/srv/{name}");
    let folder = match specification {
        Specification::Text(_) => vec!["--project-directory", &folder],
        Specification::File(_) => vec![],
    };
    let rest = ["up", "--detach", "--remove-orphans", "--quiet-pull"];
    let arguments = [&["-f", file], &folder[..], &rest].concat();
    run(name, &arguments, specification.text(), None)
}

/// Removes the containers and networks of app `name`; its volumes stay.
///
/// # Errors
/// If they are not gone within `limit`.
pub(crate) fn down(name: &str, limit: Duration) -> Result<()> {
    run(name, &["down", "--remove-orphans"], b"", Some(limit))
}

/// Begins `docker compose` with `arguments` for project `name`. It reads the text of `specification` from `-`.
pub(crate) fn spawn(
    name: &str,
    arguments: &[&str],
    specification: &Specification,
) -> Result<Child> {
    begin(name, arguments, specification.text())
}

fn begin(name: &str, arguments: &[&str], input: &[u8]) -> Result<Child> {
    let mut child = Command::new(COMPOSE)
        .args(["--ansi", "never", "--progress", "plain", "-p", name])
        .args(arguments)
        .stdin(Stdio::piped())
        .spawn()
        .with_context(|| format!("run {COMPOSE}"))?;
    // If the plugin rejects the specification before reading all of it, its exit status is the
    // error to report.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input);
    }
    Ok(child)
}

fn run(name: &str, arguments: &[&str], input: &[u8], limit: Option<Duration>) -> Result<()> {
    let mut child = begin(name, arguments, input)?;
    let status = match limit {
        None => child.wait().map(Some),
        Some(limit) => wait(&mut child, limit),
    };
    let arguments = arguments.join(" ");
    match status.with_context(|| format!("wait for {COMPOSE}"))? {
        Some(status) => ensure!(status.success(), "docker compose {arguments}: {status}"),
        None => bail!("docker compose {arguments}: did not finish within {limit:?}"),
    }
    Ok(())
}

/// The status of `child`; `None` if it had to be killed after `limit`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        sleep(LOOK);
    }
    child.kill()?;
    child.wait()?;
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let ended = |script: &str| {
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            let status = wait(&mut child, 2 * LOOK).unwrap();
            status.and_then(|status| status.code())
        };
        assert_eq!(ended("exit 3"), Some(3));
        assert_eq!(ended("exec sleep 60"), None);
    }
}
