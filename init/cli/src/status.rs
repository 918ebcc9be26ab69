//! `tare status`: the machine on one screen.

use crate::list::{self, shown_state};
use crate::style::{Look, Style};
use crate::units::{ago, bytes, seconds};
use serde::Serialize;
use tare_control::{GetStatus, ListServices, State};

/// What the screen shows.
#[derive(Debug, Serialize)]
pub(crate) struct Screen {
    #[serde(flatten)]
    pub(crate) machine: GetStatus,
    #[serde(flatten)]
    pub(crate) services: ListServices,
}

pub(crate) fn text(screen: &Screen, style: Style) -> String {
    let machine = &screen.machine;
    let head = format!("{}: {}", machine.hostname, health(machine, style));
    let problems = machine.problems.iter();
    let problems = problems.map(|problem| format!("  {}", style.paint(Look::Bad, problem)));
    let rows = rows(screen).into_iter();
    let rows = rows.map(|(name, value)| {
        let name = style.paint(Look::Bold, &format!("{name:<9}"));
        format!("{name} {value}").trim_end().to_owned()
    });
    let lines: Vec<String> = std::iter::once(head).chain(problems).chain(rows).collect();
    let services = list::text(&screen.services, machine.uptime, style);
    format!("{}\n\n{services}", lines.join("\n"))
}

fn health(machine: &GetStatus, style: Style) -> String {
    let word = style.paint(machine.health.into(), machine.health.word());
    match machine.ready_at {
        Some(at) => format!(
            "{word} (was ready {} after the kernel started)",
            seconds(at)
        ),
        None => word,
    }
}

fn rows(screen: &Screen) -> Vec<(&'static str, String)> {
    let machine = &screen.machine;
    let slot = machine.slot.as_deref().unwrap_or("no slot");
    let mut rows = vec![
        (
            "system",
            format!(
                "Tare {} in {slot}, Linux {}",
                machine.version, machine.kernel
            ),
        ),
        ("machine", machine.machine_id.clone()),
        ("up", ago(machine.uptime)),
    ];
    rows.extend(addresses(machine));
    rows.push(("memory", memory(machine)));
    rows.push(("state", disk(machine)));
    rows.push(("services", counts(&screen.services)));
    rows
}

/// A row for each link.
fn addresses(machine: &GetStatus) -> Vec<(&'static str, String)> {
    let mut links: Vec<(&str, Vec<&str>)> = Vec::new();
    for address in &machine.addresses {
        match links.iter_mut().find(|(link, _)| *link == address.link) {
            Some((_, addresses)) => addresses.push(&address.address),
            None => links.push((&address.link, vec![&address.address])),
        }
    }
    let title = |n| if n == 0 { "address" } else { "" };
    let rows = links.iter().enumerate();
    rows.map(|(n, (link, addresses))| (title(n), format!("{link} {}", addresses.join(" "))))
        .collect()
}

fn memory(machine: &GetStatus) -> String {
    of(machine.memory.available, machine.memory.total)
}

fn disk(machine: &GetStatus) -> String {
    match machine.state {
        None => "not mounted".to_owned(),
        Some(disk) if disk.volatile => format!("{}, in memory", of(disk.available, disk.size)),
        Some(disk) => of(disk.available, disk.size),
    }
}

fn of(available: u64, total: u64) -> String {
    format!("{} of {} available", bytes(available), bytes(total))
}

/// How many services are in each state.
fn counts(services: &ListServices) -> String {
    let count = |state: &State| {
        let states = services.services.iter().map(shown_state);
        states.filter(|other| other == state).count()
    };
    let counts = State::ALL.iter().map(|state| (count(state), state.word()));
    let counts = counts.filter(|(count, _)| *count > 0);
    counts
        .map(|(count, word)| format!("{count} {word}"))
        .collect::<Vec<_>>()
        .join(", ")
}
