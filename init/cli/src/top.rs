//! `tare top`: what services use, live.

mod screen;

use crate::Failed;
use crate::run::Context;
use crate::style::{Look, Style};
use crate::table::{Align, Cell, table};
use crate::units::{ago, bytes};
use screen::{Key, Screen};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;
use tare_control::{Client, GetStatus, ListServices, Method, Service};

/// What the rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Name,
    Cpu,
    Memory,
    Tasks,
    Restarts,
}

/// One sample of the machine.
#[derive(Debug, Clone)]
struct Sight {
    machine: GetStatus,
    services: Vec<Service>,
}

/// A service in a sample, with what it has used since the previous one.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    service: String,
    state: tare_control::State,
    /// In percent of one processor; `None` in the first sample.
    cpu_percent: Option<f64>,
    memory: Option<u64>,
    tasks: Option<u64>,
    restarts: u64,
}

pub(crate) fn top(context: &Context, delay: Duration, count: Option<u32>) -> Result<(), Failed> {
    let client = context.connect()?;
    match count {
        None if !context.json => watch(context, client, delay),
        count => print(context, client, delay, count.unwrap_or(u32::MAX)),
    }
}

fn look(client: &mut Client) -> Result<Sight, Failed> {
    let machine = client.call(&Method::GetStatus {})?;
    let list: ListServices = client.call(&Method::ListServices {})?;
    let services = list.services;
    Ok(Sight { machine, services })
}

/// Prints one sample after the other, as text or as one line of JSON each.
fn print(context: &Context, mut client: Client, delay: Duration, count: u32) -> Result<(), Failed> {
    let mut before = None;
    for n in 0..count {
        if n > 0 {
            std::thread::sleep(delay);
        }
        let now = look(&mut client)?;
        let rows = rows(&now, before.as_ref(), Order::Cpu);
        let text = match context.json {
            true => serde_json::to_string(&rows).map_err(io::Error::from)? + "\n",
            false => page(&now, &rows, context.style),
        };
        io::stdout().write_all(text.as_bytes())?;
        before = Some(now);
    }
    Ok(())
}

fn watch(context: &Context, mut client: Client, delay: Duration) -> Result<(), Failed> {
    let why = |error| Failed::NotSo(format!("top needs a terminal, or --count: {error}"));
    let mut screen = Screen::take().map_err(why)?;
    let (mut before, mut now) = (None, look(&mut client)?);
    let mut order = Order::Cpu;
    loop {
        let rows = rows(&now, before.as_ref(), order);
        screen.draw(&page(&now, &rows, context.style))?;
        match screen.key(delay)? {
            Some(Key::Quit) => return Ok(()),
            Some(Key::Letter(letter)) => order = order_of(letter).unwrap_or(order),
            None => before = Some(std::mem::replace(&mut now, look(&mut client)?)),
        }
    }
}

fn order_of(letter: u8) -> Option<Order> {
    match letter {
        b'n' => Some(Order::Name),
        b'c' => Some(Order::Cpu),
        b'm' => Some(Order::Memory),
        b't' => Some(Order::Tasks),
        b'r' => Some(Order::Restarts),
        _ => None,
    }
}

fn rows(now: &Sight, before: Option<&Sight>, order: Order) -> Vec<Row> {
    let earlier: BTreeMap<&str, u64> = before
        .iter()
        .flat_map(|look| &look.services)
        .filter_map(|service| Some((service.name.as_str(), service.cpu?)))
        .collect();
    let passed = before.map_or(0, |look| {
        now.machine.uptime.saturating_sub(look.machine.uptime)
    });
    let percent = |service: &Service| {
        let used = service
            .cpu?
            .checked_sub(*earlier.get(service.name.as_str())?)?;
        (passed > 0).then(|| (used as f64 * 1000.0 / passed as f64).round() / 10.0)
    };
    let row = |service: &Service| Row {
        service: service.name.clone(),
        state: service.state,
        cpu_percent: percent(service),
        memory: service.memory.filter(|_| service.pid.is_some()),
        tasks: service.tasks.filter(|_| service.pid.is_some()),
        restarts: service.starts.saturating_sub(1),
    };
    let mut rows: Vec<Row> = now.services.iter().map(row).collect();
    sort(&mut rows, order);
    rows
}

/// Sorts the largest first, and equal ones by name.
fn sort(rows: &mut [Row], order: Order) {
    let tenths = |row: &Row| row.cpu_percent.map(|percent| (percent * 10.0) as u64);
    match order {
        Order::Name => {}
        Order::Cpu => rows.sort_by_key(|row| Reverse((tenths(row), row.memory))),
        Order::Memory => rows.sort_by_key(|row| Reverse(row.memory)),
        Order::Tasks => rows.sort_by_key(|row| Reverse(row.tasks)),
        Order::Restarts => rows.sort_by_key(|row| Reverse(row.restarts)),
    }
}

fn page(now: &Sight, rows: &[Row], style: Style) -> String {
    let machine = &now.machine;
    let head = format!(
        "{}: {}, up {}, {} of {} available\n\n",
        machine.hostname,
        style.paint(machine.health.into(), machine.health.word()),
        ago(machine.uptime),
        bytes(machine.memory.available),
        bytes(machine.memory.total)
    );
    let columns = [
        ("SERVICE", Align::Left),
        ("STATE", Align::Left),
        ("CPU %", Align::Right),
        ("MEMORY", Align::Right),
        ("THREADS", Align::Right),
        ("RESTARTS", Align::Right),
    ];
    head + &table(columns, rows.iter().map(cells).collect(), style)
}

fn cells(row: &Row) -> [Cell; 6] {
    let restarts = match row.restarts {
        0 => Look::Dim,
        _ => Look::Busy,
    };
    [
        row.service.clone().into(),
        Cell::new(row.state.word(), row.state.into()),
        Cell::or_dash(row.cpu_percent.map(|percent| format!("{percent:.1}"))),
        Cell::or_dash(row.memory.map(bytes)),
        Cell::or_dash(row.tasks.map(|tasks| tasks.to_string())),
        Cell::new(row.restarts.to_string(), restarts),
    ]
}

#[cfg(test)]
mod tests;
