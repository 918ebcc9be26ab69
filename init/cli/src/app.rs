//! `tare app`: the apps of user-data. PID 1 knows the service that starts each; the engine knows its containers.

use crate::args::{AppCommand, Change, Lines};
use crate::change::Wish;
use crate::run::Context;
use crate::style::{Look, Style};
use crate::table::{Align, Cell, table};
use crate::units::{ago, harmless};
use crate::{Failed, change, logs};
use serde::Serialize;
use std::io::{self, Write};
use std::process::{Command, Stdio};
use tare_control::{GetStatus, ListServices, Method, Service, State};

/// The service that starts an app is called this and the app's name.
const PREFIX: &str = "app.";
/// By this label Compose finds a project's containers.
const LABEL: &str = "com.docker.compose.project";
/// How many lines of a start that did not end well are shown.
const RECENT: usize = 10;

pub(crate) fn app(context: &Context, command: &AppCommand) -> Result<(), Failed> {
    match command {
        AppCommand::List => list(context),
        AppCommand::Show { name } => show(context, name),
        AppCommand::Logs {
            name,
            follow,
            lines,
            since,
        } => {
            let mut options = Vec::new();
            options.extend(follow.then(|| "--follow".to_owned()));
            options.extend(lines.map(|count| format!("--tail={count}")));
            options.extend(since.as_ref().map(|since| format!("--since={since}")));
            logs_of(context, name, options)
        }
        AppCommand::Restart(change) => restart(context, change),
    }
}

/// An app, as listed.
#[derive(Debug, Serialize)]
pub(crate) struct App {
    pub(crate) name: String,
    /// Of its start: `done` if all was started.
    pub(crate) state: State,
    /// When the state began, in microseconds since the kernel started.
    pub(crate) since: u64,
    /// `None` if the engine does not answer.
    pub(crate) containers: Option<Containers>,
    pub(crate) note: String,
}

/// How many containers an app has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Containers {
    pub(crate) running: usize,
    pub(crate) all: usize,
}

fn list(context: &Context) -> Result<(), Failed> {
    let machine: GetStatus = context.call(&Method::GetStatus {})?;
    let known = all_containers();
    if let Err(error) = &known {
        // A failure to write this cannot be reported.
        let _ = writeln!(io::stderr(), "tare: containers are not shown: {error}");
    }
    let known = known.ok();
    let apps = services(context)?
        .into_iter()
        .map(|(name, service)| app_of(name, &service, known.as_deref()));
    let apps: Vec<App> = apps.collect();
    context.show(&apps, |apps, style| text(apps, machine.uptime, style))
}

fn app_of(name: String, service: &Service, known: Option<&str>) -> App {
    App {
        containers: known.map(|known| containers(known, &name)),
        note: how_it_ended(service),
        name,
        state: service.state,
        since: service.since,
    }
}

/// A line for each container: its app and its state.
fn all_containers() -> Result<String, String> {
    let format = format!("{{{{.Label \"{LABEL}\"}}}} {{{{.State}}}}");
    let label = format!("label={LABEL}");
    docker(&["ps", "--all", "--filter", &label, "--format", &format])
}

/// The services that start apps, by the app's name.
fn services(context: &Context) -> Result<Vec<(String, Service)>, Failed> {
    let list: ListServices = context.call(&Method::ListServices {})?;
    let named = list.services.into_iter().filter_map(|service| {
        let name = service.name.strip_prefix(PREFIX)?.to_owned();
        Some((name, service))
    });
    Ok(named.collect())
}

fn find(context: &Context, name: &str) -> Result<Service, Failed> {
    let services = services(context)?;
    let names: Vec<&str> = services.iter().map(|(name, _)| name.as_str()).collect();
    let there_are = match names[..] {
        [] => "user-data has none (section `apps`)".to_owned(),
        _ => format!("there are: {}", names.join(", ")),
    };
    let absent = format!("there is no app `{name}`; {there_are}");
    let mut services = services.into_iter();
    let found = services.find(|(app, _)| app == name);
    found
        .map(|(_, service)| service)
        .ok_or(Failed::NotSo(absent))
}

/// Of app `name`, in lines of a project and a container's state.
fn containers(known: &str, name: &str) -> Containers {
    let mut containers = Containers::default();
    let lines = known.lines().filter_map(|line| line.split_once(' '));
    for (_, state) in lines.filter(|(app, _)| *app == name) {
        containers.all += 1;
        containers.running += usize::from(state == "running");
    }
    containers
}

fn how_it_ended(service: &Service) -> String {
    match &service.last_exit {
        _ if !service.text.is_empty() => harmless(&service.text),
        Some(exit) if exit != "status 0" => format!("start ended with {exit}"),
        _ => String::new(),
    }
}

/// The apps at `now`, in microseconds since the kernel started.
pub(crate) fn text(apps: &[App], now: u64, style: Style) -> String {
    let head = [
        ("APP", Align::Left),
        ("START", Align::Left),
        ("FOR", Align::Right),
        ("RUNNING", Align::Right),
        ("", Align::Left),
    ];
    let rows = apps.iter().map(|app| {
        let running = app
            .containers
            .map(|Containers { running, all }| format!("{running}/{all}"));
        [
            app.name.clone().into(),
            Cell::new(app.state.word(), app.state.into()),
            ago(now.saturating_sub(app.since)).into(),
            Cell::or_dash(running),
            Cell::new(&app.note, Look::Dim),
        ]
    });
    table(head, rows.collect(), style)
}

/// The state of its start, its containers, and what a start that did not end well has written.
fn show(context: &Context, name: &str) -> Result<(), Failed> {
    let service = find(context, name)?;
    if context.json {
        let known = all_containers().map_err(Failed::NotSo)?;
        let app = app_of(name.to_owned(), &service, Some(&known));
        return context.show(&app, |_, _| String::new());
    }
    let style = context.style;
    let state = style.paint(service.state.into(), service.state.word());
    let note = how_it_ended(&service);
    let note = match note.is_empty() {
        true => note,
        false => format!(": {note}"),
    };
    let title = style.paint(Look::Bold, name);
    let mut out = io::stdout();
    writeln!(out, "{title}: its start is {state}{note}")?;
    compose(name, &["ps", "--all"])?;
    explain(context, &service)
}

/// The log of a start that has not ended well.
fn explain(context: &Context, service: &Service) -> Result<(), Failed> {
    if service.state == State::Done {
        return Ok(());
    }
    let lines = Lines {
        lines: Some(RECENT),
        ..Lines::default()
    };
    logs::logs(context, &lines, std::slice::from_ref(&service.name))
}

fn logs_of(context: &Context, name: &str, options: Vec<String>) -> Result<(), Failed> {
    let service = find(context, name)?;
    explain(context, &service)?;
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    compose(name, &[&["logs"], &options[..]].concat())
}

/// Restarts the containers that are there, then has the app started as configured.
fn restart(context: &Context, change: &Change) -> Result<(), Failed> {
    let service = find(context, &change.name)?;
    let label = format!("label={LABEL}={}", change.name);
    let there = docker(&["ps", "--all", "--quiet", "--filter", &label]).map_err(Failed::NotSo)?;
    if !there.is_empty() {
        compose(&change.name, &["restart"])?;
    }
    let change = Change {
        name: service.name,
        ..change.clone()
    };
    change::change(context, &change, Wish::Restart)
}

/// What `docker` prints, or what it says against it.
fn docker(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("docker: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

/// Runs `docker compose` for an app, on our own terminal and pipes.
fn compose(name: &str, arguments: &[&str]) -> Result<(), Failed> {
    let status = Command::new("docker")
        .args(["compose", "--project-name", name])
        .args(arguments)
        .status()
        .map_err(|error| Failed::NotSo(format!("docker: {error}")))?;
    match status.success() {
        true => Ok(()),
        false => Err(Failed::Program(
            status
                .code()
                .and_then(|code| code.try_into().ok())
                .unwrap_or(1),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_those_of_the_app() {
        let known = "shop running\nshop exited\nshop-2 running\n";
        let shop = Containers { running: 1, all: 2 };
        for (name, want) in [("shop", shop), ("blog", Containers::default())] {
            assert_eq!(containers(known, name), want, "{name}");
        }
    }
}
