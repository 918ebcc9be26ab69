//! `tare service show`.

use crate::Failed;
use crate::list::shown_state;
use crate::run::Context;
use crate::style::{Look, Style};
use crate::units::{ago, ahead, bytes, harmless, seconds};
use serde_json::Value;
use tare_control::{GetStatus, Method, ShowService};

pub(crate) fn show(context: &Context, name: &str) -> Result<(), Failed> {
    let mut client = context.connect()?;
    let machine: GetStatus = client.call(&Method::GetStatus {})?;
    let name = name.to_owned();
    let shown: ShowService = client.call(&Method::ShowService { name })?;
    context.show(&shown, |shown, style| text(shown, machine.uptime, style))
}

pub(crate) fn text(shown: &ShowService, now: u64, style: Style) -> String {
    let service = &shown.service;
    let state = shown_state(service);
    let state = style.paint(state.into(), state.word());
    let since = ago(now.saturating_sub(service.since));
    let mut text = format!(
        "{}: {}\n{state} for {since}\n",
        style.paint(Look::Bold, &service.name),
        service.description
    );
    for (name, value) in facts(shown, now) {
        text += &format!(
            "{} {value}\n",
            style.paint(Look::Bold, &format!("{name:<9}"))
        );
    }
    text += &format!("{}\n", style.paint(Look::Bold, "description in force"));
    for (key, value) in leaves(&shown.configuration) {
        text += &format!("  {key} = {value}\n");
    }
    text
}

/// At `now`, in microseconds since the kernel started.
fn facts(shown: &ShowService, now: u64) -> Vec<(&'static str, String)> {
    let service = &shown.service;
    let after = shown.after.iter().map(|dependency| {
        let mark = if dependency.holds { "" } else { " (not yet)" };
        format!("{}{mark}", dependency.condition)
    });
    let said = Some(&service.text).filter(|text| !text.is_empty());
    let facts = [
        ("says", said.map(|text| harmless(text))),
        ("pid", service.pid.map(|pid| pid.to_string())),
        ("memory", service.memory.map(bytes)),
        ("cpu", service.cpu.map(seconds)),
        ("threads", service.tasks.map(|tasks| tasks.to_string())),
        (
            "restarts",
            Some(service.starts.saturating_sub(1).to_string()),
        ),
        ("last exit", service.last_exit.clone()),
        (
            "last run",
            service
                .due
                .and(service.started)
                .map(|at| format!("{} ago", ago(now.saturating_sub(at)))),
        ),
        ("next run", service.due.map(|at| ahead(at, now))),
        ("required", service.required.then(|| "yes".to_owned())),
        ("after", Some(after.collect::<Vec<_>>().join(", "))),
    ];
    let known = facts
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)));
    known.filter(|(_, value)| !value.is_empty()).collect()
}

/// All values that are not tables, by dotted key. Absent and empty ones are left out.
fn leaves(value: &Value) -> Vec<(String, String)> {
    let Value::Object(map) = value else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in map {
        match value {
            Value::Object(_) => found.extend(
                leaves(value)
                    .into_iter()
                    .map(|(rest, value)| (format!("{key}.{rest}"), value)),
            ),
            Value::Null => {}
            Value::Array(list) if list.is_empty() => {}
            other => found.push((key.clone(), other.to_string())),
        }
    }
    found
}
