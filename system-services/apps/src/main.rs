//! The apps and jobs of the machine's configuration: Compose specifications, and containers that run at their times.
//!
//! | called as | does |
//! |---|---|
//! | `tare-apps` | takes down those that are no longer configured |
//! | `tare-apps NAME` | starts one, with `docker compose up` |
//! | `tare-apps --job NAME` | runs a job once, with `docker compose run` |

mod compose;
mod job;
mod login;
mod missed;
mod removed;
mod slots;
mod started;

use anyhow::{Context, Result, anyhow};
use compose::Specification;
use serde_json::{Map, Value};
use signal_hook::consts::SIGTERM;
use started::Started;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// The apps by name, written by PID 1; `null` if there are none.
const APPS: &str = "/run/config/apps.json";
/// The jobs, likewise.
const JOBS: &str = "/run/config/jobs.json";
/// How registries are reached, likewise.
const REGISTRIES: &str = "/run/config/registries.json";
/// On a volume: of apps, a file for each that was started; of jobs, a file for each that catches up.
const STARTED: &str = "/var/lib/tare";
/// Holds [`slots`], and marks of jobs that run; shared by the processes of all apps and jobs, and empty after a boot.
const SLOTS: &str = "/run/apps";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        [] => run(None),
        ["--job", name] => run_job(name),
        [name] => run(Some(name)),
        _ => Err(anyhow!("expected NAME, --job NAME or nothing")),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("<3>{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run_job(name: &str) -> Result<ExitCode> {
    let jobs = read_section(Path::new(JOBS))?;
    let job = jobs
        .get(name)
        .with_context(|| format!("there is no job {name}"))?;
    if !missed::is_to_run(name, job, Path::new(STARTED))? {
        return Ok(ExitCode::SUCCESS);
    }
    login::write(&read_section(Path::new(REGISTRIES))?)?;
    job::run(name, job, Path::new(SLOTS))
}

fn run(name: Option<&str>) -> Result<ExitCode> {
    end_at_sigterm()?;
    let apps = read_section(Path::new(APPS))?;
    let started = Started::at(Path::new(STARTED));
    match name {
        None => removed::take_down(&apps, &started)?,
        Some(name) => {
            login::write(&read_section(Path::new(REGISTRIES))?)?;
            let app = apps
                .get(name)
                .with_context(|| format!("there is no app {name}"))?;
            if is_off(app) {
                compose::down(name, removed::LIMIT)?;
                started.remove(name)?;
                return Ok(ExitCode::SUCCESS);
            }
            // Before it starts: a half-started app must also be taken down some day.
            started.add(name)?;
            if let Err(error) = removed::wait_for(&apps, &started) {
                eprintln!("<4>not waiting for removed apps: {error:#}");
            }
            slots::take(Path::new(SLOTS));
            compose::up(name, &Specification::of(app)?)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether it has no services: so user-data turns an app of the image off. Compose starts no such app.
fn is_off(app: &Value) -> bool {
    app["services"].as_object().is_some_and(Map::is_empty)
}

/// The kernel does not deliver a signal without a handler to the first process of a pid namespace.
fn end_at_sigterm() -> Result<()> {
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(SIGTERM, 1, always)
        .context("handle SIGTERM")?;
    Ok(())
}

fn read_section(path: &Path) -> Result<Map<String, Value>> {
    let bytes = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    match serde_json::from_slice(&bytes).with_context(|| format!("parse {}", path.display()))? {
        Value::Object(section) => Ok(section),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_app_without_services_is_off() {
        for (app, want) in [
            (json!({"services": {}}), true),
            (json!({"services": {"web": {"image": "a"}}}), false),
            (json!({"compose": "services: {}"}), false),
        ] {
            assert_eq!(is_off(&app), want, "{app}");
        }
    }
}
