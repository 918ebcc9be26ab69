//! `docker compose`, whose output goes to the log.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// The plugin itself; the `docker` command would only find and run it.
const COMPOSE: &str = "/usr/libexec/docker/cli-plugins/docker-compose";

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
}

/// Brings the containers of app `name` into the state that `specification` describes. Containers already in it are left
/// alone.
pub(crate) fn up(name: &str, specification: &Specification) -> Result<()> {
    let (file, text): (&str, &[u8]) = match specification {
        Specification::Text(text) => ("-", text),
        Specification::File(path) => (path, b""),
    };
    // Of a text, relative paths start at the app's own folder.
    let folder = format!("/srv/{name}");
    let folder = match specification {
        Specification::Text(_) => vec!["--project-directory", &folder],
        Specification::File(_) => vec![],
    };
    let rest = ["up", "--detach", "--remove-orphans", "--quiet-pull"];
    let arguments = [&["-f", file], &folder[..], &rest].concat();
    run(name, &arguments, text)
}

/// Removes the containers and networks of app `name`; its volumes stay.
pub(crate) fn down(name: &str) -> Result<()> {
    run(name, &["down", "--remove-orphans"], b"")
}

fn run(name: &str, arguments: &[&str], input: &[u8]) -> Result<()> {
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
    let status = child
        .wait()
        .with_context(|| format!("wait for {COMPOSE}"))?;
    ensure!(
        status.success(),
        "docker compose {}: {status}",
        arguments.join(" ")
    );
    Ok(())
}
