//! `tare service list`.

use crate::Failed;
use crate::run::Context;
use crate::style::{Look, Style};
use crate::table::{Align, Cell, table};
use crate::units::{ago, bytes, harmless};
use tare_control::{GetStatus, ListServices, Method, Service, State};

pub(crate) fn list(context: &Context) -> Result<(), Failed> {
    let mut client = context.connect()?;
    let machine: GetStatus = client.call(&Method::GetStatus {})?;
    let services: ListServices = client.call(&Method::ListServices {})?;
    context.show(&services, |services, style| {
        text(services, machine.uptime, style)
    })
}

/// The services at `now`, in microseconds since the kernel started.
pub(crate) fn text(services: &ListServices, now: u64, style: Style) -> String {
    let head = [
        ("SERVICE", Align::Left),
        ("STATE", Align::Left),
        ("FOR", Align::Right),
        ("PID", Align::Right),
        ("MEMORY", Align::Right),
        ("RESTARTS", Align::Right),
        ("", Align::Left),
    ];
    let rows = services.services.iter().map(|service| row(service, now));
    table(head, rows.collect(), style)
}

fn row(service: &Service, now: u64) -> [Cell; 7] {
    [
        service.name.clone().into(),
        Cell::new(shown_state(service).word(), shown_state(service).into()),
        ago(now.saturating_sub(service.since)).into(),
        Cell::or_dash(service.pid.map(|pid| pid.to_string())),
        Cell::or_dash(service.memory.filter(|_| service.pid.is_some()).map(bytes)),
        service.starts.saturating_sub(1).to_string().into(),
        Cell::new(note(service), Look::Dim),
    ]
}

/// Its state, for people: between two runs, a periodic service whose last run failed has failed.
pub(crate) fn shown_state(service: &Service) -> State {
    let failed = service
        .last_exit
        .as_ref()
        .is_some_and(|exit| exit != "status 0");
    match service.state {
        State::Waiting if failed && service.due.is_some() => State::Failed,
        state => state,
    }
}

/// Its status text. If that is empty and the service does not run, how it ended.
pub(crate) fn note(service: &Service) -> String {
    let exit = service.last_exit.as_ref().filter(|_| service.pid.is_none());
    match exit {
        _ if !service.text.is_empty() => harmless(&service.text),
        Some(exit) if exit != "status 0" => format!("ended with {exit}"),
        _ => String::new(),
    }
}
