//! Starts the apps of the machine's configuration, each a Compose specification, with
//! `docker compose up`, and takes down those that are no longer configured.
//!
//! A failing app does not stop the others; the exit status is 0 only if everything succeeded.

mod compose;
mod state;

use anyhow::{Context, Result};
use serde_json::{Map, Value};
use signal_hook::consts::SIGTERM;
use state::State;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The apps by name, written by PID 1; `null` if there are none.
const APPS: &str = "/run/config/apps.json";
/// The names of the apps that were started; on a volume.
const STARTED: &str = "/var/lib/tare/started.json";

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("{failures} failed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the number of failures.
fn run() -> Result<usize> {
    end_at_sigterm()?;
    let apps = read_apps(Path::new(APPS))?;
    let mut state = State::read(Path::new(STARTED));
    let taken_down = take_down(&apps, &mut state);
    let started = apps
        .iter()
        .map(|(name, spec)| start(name, spec, &mut state));
    let failures = taken_down.into_iter().chain(started).filter(Result::is_err);
    Ok(failures.count())
}

/// The kernel does not deliver a signal without a handler to the first process of a pid namespace.
fn end_at_sigterm() -> Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(SIGTERM, 1, always)
        .context("handle SIGTERM")?;
    Ok(())
}

fn read_apps(path: &Path) -> Result<Map<String, Value>> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    match serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))? {
        Value::Object(apps) => Ok(apps),
        _ => Ok(Map::new()),
    }
}

/// Records the app before starting it: a half-started app must also be taken down some day.
fn start(name: &str, spec: &Value, state: &mut State) -> Result<()> {
    report(
        name,
        state
            .add(name)
            .and_then(|()| compose::up(name, spec))
            .map(|()| "started"),
    )
}

fn take_down(apps: &Map<String, Value>, state: &mut State) -> Vec<Result<()>> {
    let gone = state.without(apps);
    gone.iter()
        .map(|name| {
            let done = compose::down(name).and_then(|()| state.remove(name));
            report(name, done.map(|()| "taken down: no longer configured"))
        })
        .collect()
}

/// Logs the outcome for `subject`.
pub(crate) fn report(subject: &str, result: Result<&str>) -> Result<()> {
    match &result {
        Ok(what) => eprintln!("{subject}: {what}"),
        Err(error) => eprintln!("{subject}: {error:#}"),
    }
    result.map(drop)
}
