//! `docker compose`, whose output goes to the log.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::Write;
use std::process::{Command, Stdio};

/// The plugin itself; the `docker` command would only find and run it.
const COMPOSE: &str = "/usr/libexec/docker/cli-plugins/docker-compose";

/// Brings the containers of app `name` into the state that `spec` describes. Containers already in
/// it are left alone.
pub(crate) fn up(name: &str, spec: &Value) -> Result<()> {
    let spec = serde_json::to_vec(spec).context("write the specification")?;
    let arguments = [
        "-f",
        "-",
        "up",
        "--detach",
        "--remove-orphans",
        "--quiet-pull",
    ];
    run(name, &arguments, &spec)
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
