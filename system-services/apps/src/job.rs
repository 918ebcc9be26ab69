//! A run of a job: one container, whose output and exit status are those of this program.

use crate::compose::{self, Specification};
use crate::{removed, slots};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use signal_hook::consts::{SIGCHLD, SIGTERM};
use signal_hook::iterator::Signals;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ExitCode, ExitStatus};

/// The service of the specification.
const SERVICE: &str = "job";
/// Exit status of a run that was told to end: 128 and the number of SIGTERM, as shells have it.
const TOLD_TO_END: u8 = 143;

/// Runs job `name`. `folder`, which is empty after a boot, has a file for it while its container may be there.
///
/// # Errors
/// No container could be started, or it is unknown how it ended.
pub(crate) fn run(name: &str, job: &Value, folder: &Path) -> Result<ExitCode> {
    let mut signals = Signals::new([SIGCHLD, SIGTERM]).context("handle signals")?;
    let project = project(name);
    let mark = folder.join(&project);
    if mark.exists() {
        // This program was killed during the last run: two must not run at a time.
        compose::down(&project, removed::LIMIT)?;
    }
    slots::take(folder);
    fs::write(&mark, "").with_context(|| format!("make {}", mark.display()))?;
    let mut container = start(name, job)?;
    let code = match wait(&mut container, &mut signals)? {
        Some(status) => code(status),
        None => {
            end(&project, &mut container)?;
            eprintln!("<5>ended: told to stop");
            TOLD_TO_END
        }
    };
    fs::remove_file(&mark).with_context(|| format!("remove {}", mark.display()))?;
    Ok(code.into())
}

/// No app's project has an underscore.
fn project(name: &str) -> String {
    format!("job_{name}")
}

fn start(name: &str, job: &Value) -> Result<Child> {
    if let Some(variable) = lacking(job) {
        bail!("the secret of environment.{variable} is missing or useless: see `tare status`");
    }
    let container = format!("job.{name}");
    let arguments = [
        "-f",
        "-",
        "run",
        "--rm",
        "--no-TTY",
        "--interactive=false",
        "--no-deps",
        "--quiet-pull",
        "--name",
        &container,
        SERVICE,
    ];
    let text = serde_json::to_vec(&specification(job)).context("write the specification")?;
    compose::spawn(&project(name), &arguments, &Specification::Text(text))
}

/// The first variable whose secret PID 1 could not put in place of the reference to it. Without it, a program may do
/// something else than what it is for.
fn lacking(job: &Value) -> Option<&str> {
    let mut variables = job["environment"].as_object()?.iter();
    let (name, _) = variables.find(|(_, value)| value.is_object())?;
    Some(name)
}

/// How `child` ended; `None` once this program is told to end.
fn wait(child: &mut Child, signals: &mut Signals) -> Result<Option<ExitStatus>> {
    for signal in signals.forever() {
        if signal == SIGTERM {
            return Ok(None);
        }
        if let Some(status) = child.try_wait().context("wait for the container")? {
            return Ok(Some(status));
        }
    }
    Ok(None)
}

/// Ends the container, which has Compose's 10 s for that, and `compose`, which runs it.
fn end(project: &str, compose: &mut Child) -> Result<()> {
    compose::down(project, removed::LIMIT)?;
    if compose.try_wait()?.is_none() {
        // It was pulling the image, or making the container.
        compose.kill()?;
        compose.wait()?;
        compose::down(project, removed::LIMIT)?;
    }
    Ok(())
}

fn code(status: ExitStatus) -> u8 {
    let signal = || 128 + status.signal().unwrap_or_default();
    u8::try_from(status.code().unwrap_or_else(signal)).unwrap_or(u8::MAX)
}

/// As a Compose specification. A job is not one: `$` stands for itself.
fn specification(job: &Value) -> Value {
    let mut service = Map::new();
    for (ours, theirs) in [
        ("image", "image"),
        ("environment", "environment"),
        ("pull-policy", "pull_policy"),
        ("user", "user"),
        ("volumes", "volumes"),
    ] {
        if !job[ours].is_null() {
            service.insert(theirs.to_owned(), escaped(&job[ours]));
        }
    }
    let args = job["args"].as_array();
    if args.is_some_and(|args| !args.is_empty()) {
        service.insert("command".to_owned(), escaped(&job["args"]));
    }
    let mut specification = json!({ "volumes": named_volumes(job) });
    match job["network"].as_str().unwrap_or("bridge") {
        mode @ ("bridge" | "host" | "none") => {
            service.insert("network_mode".to_owned(), mode.into());
        }
        network => {
            let network = escaped(&network.into());
            specification["networks"] = json!({ "default": { "name": network, "external": true } });
        }
    }
    specification["services"] = json!({ SERVICE: service });
    specification
}

/// The volumes that are no paths, under the engine's names, not the project's: other containers may have them, too.
fn named_volumes(job: &Value) -> Map<String, Value> {
    let volumes = job["volumes"].as_array().into_iter().flatten();
    let sources = volumes.filter_map(|volume| volume.as_str()?.split(':').next());
    let names = sources.filter(|source| !source.starts_with('/'));
    names
        .map(|name| (name.to_owned(), json!({ "name": name })))
        .collect()
}

/// `value` as Compose must have it so that it means what it says.
fn escaped(value: &Value) -> Value {
    match value {
        Value::String(text) => text.replace('$', "$$").into(),
        Value::Array(values) => values.iter().map(escaped).collect(),
        Value::Object(values) => {
            let values = values.iter();
            values
                .map(|(key, value)| (key.clone(), escaped(value)))
                .collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_job_whose_secret_is_missing_does_not_run() {
        for (environment, want) in [
            (json!({}), None),
            (json!({"A": "a"}), None),
            (json!({"A": "a", "B": {"credential": "b"}}), Some("B")),
        ] {
            assert_eq!(lacking(&json!({"environment": environment})), want);
        }
        assert_eq!(lacking(&json!({})), None);
    }

    #[test]
    fn a_job_is_a_specification() {
        let small = json!({"schedule": "daily", "image": "a", "args": [], "volumes": [], "network": null, "user": null});
        let full = json!({
            "image": "restic/restic:0.18",
            "args": ["backup", "$HOME"],
            "environment": {"A": "b$c"},
            "volumes": ["/data:/data:ro", "cache:/cache"],
            "network": "shop_default",
            "user": "1:1",
            "pull-policy": "always",
        });
        for (job, want) in [
            (
                small,
                json!({
                    "services": {"job": {"image": "a", "volumes": [], "network_mode": "bridge"}},
                    "volumes": {},
                }),
            ),
            (
                full,
                json!({
                    "services": {"job": {
                        "image": "restic/restic:0.18",
                        "command": ["backup", "$$HOME"],
                        "environment": {"A": "b$$c"},
                        "volumes": ["/data:/data:ro", "cache:/cache"],
                        "user": "1:1",
                        "pull_policy": "always",
                    }},
                    "networks": {"default": {"name": "shop_default", "external": true}},
                    "volumes": {"cache": {"name": "cache"}},
                }),
            ),
        ] {
            assert_eq!(specification(&job), want);
        }
    }

    #[test]
    fn a_run_ends_as_its_container_does() {
        for (script, want) in [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137)] {
            let mut signals = Signals::new([SIGCHLD]).unwrap();
            let mut child = Command::new("sh").args(["-c", script]).spawn().unwrap();
            let status = wait(&mut child, &mut signals).unwrap();
            assert_eq!(status.map(code), Some(want), "{script}");
        }
    }
}
