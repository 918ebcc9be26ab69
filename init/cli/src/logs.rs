//! `tare logs`: the log's files, and the lines that wait in memory for room on the disk.

use crate::Failed;
use crate::args::Lines;
use crate::run::Context;
use crate::style::{Look, Style};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use tare_control::{CallError, Failure, Method, ShowService};
use tare_log_format::{Filter, Reader, Record};

/// Where services that have this command see the log, and the lines that wait for it.
const FOLDER: &str = "/var/log/tare";
const STATE: &str = "/run/log";
/// How many lines following begins with.
const RECENT: usize = 10;

/// Shows the log of `services`, or of all if none is named.
pub(crate) fn logs(context: &Context, lines: &Lines, services: &[String]) -> Result<(), Failed> {
    let folder = lines.folder.as_deref().unwrap_or(Path::new(FOLDER));
    let unreadable = |source| Failed::Log {
        folder: folder.to_owned(),
        source,
    };
    let mut reader = open(folder, lines, services).map_err(unreadable)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let (mut told, mut told_unreadable) = (0, false);
    loop {
        while let Some(record) = reader.next().map_err(unreadable)? {
            out.write_all(shown(&record, context).as_bytes())?;
        }
        out.flush()?;
        tell_lost(&reader, &mut told);
        match reader.unreadable().map(unreadable) {
            Some(failed) if !lines.follow => return Err(failed),
            Some(failed) if !told_unreadable => {
                told_unreadable = true;
                // A failure to write this cannot be reported.
                let _ = writeln!(io::stderr(), "tare: {failed}");
            }
            _ if !lines.follow => return Ok(()),
            _ => {}
        }
        reader.wait(None).map_err(unreadable)?;
    }
}

/// Shows the log of service `name`. PID 1 is asked whether the service exists; if it does not reply, the log is read
/// anyway.
pub(crate) fn of_service(context: &Context, name: &str, lines: &Lines) -> Result<(), Failed> {
    let name = name.to_owned();
    let service = context.call::<ShowService>(&Method::ShowService { name: name.clone() });
    match service {
        Err(Failed::Call(CallError::Refused(failure @ Failure::ServiceNotFound { .. }))) => {
            Err(Failed::Call(CallError::Refused(failure)))
        }
        _ => logs(context, lines, &[name]),
    }
}

fn open(folder: &Path, lines: &Lines, services: &[String]) -> io::Result<Reader> {
    let filter = Filter {
        services: services.to_vec(),
        since: lines.since,
        boot: lines.boot.clone(),
        grep: lines.grep.clone(),
    };
    // Waiting lines belong to this machine's log.
    let state = lines.folder.is_none().then(|| PathBuf::from(STATE));
    let mut reader = Reader::with_memory(folder, state.as_deref(), &filter)?;
    if lines.follow {
        reader.watch()?;
    }
    if let Some(count) = last(lines) {
        reader.skip_to_last(count)?;
    }
    Ok(reader)
}

/// How many lines to begin with; `None` for all.
pub(crate) fn last(lines: &Lines) -> Option<usize> {
    let recent = lines.follow && lines.since.is_none();
    lines.lines.or(recent.then_some(RECENT))
}

fn shown(record: &Record<'_>, context: &Context) -> String {
    match context.json {
        true => record.json() + "\n",
        false => line(record, context.style),
    }
}

/// A record as a line of text.
pub(crate) fn line(record: &Record<'_>, style: Style) -> String {
    let look = match record.priority.number() {
        0..=3 => Look::Bad,
        4 => Look::Busy,
        7 => Look::Dim,
        _ => Look::Plain,
    };
    let time = style.paint(Look::Dim, record.wall);
    let service = style.paint(Look::Bold, record.service);
    // Other control characters are already escaped in the files; these also control terminals (ECMA-48, C1).
    let control = |character: char| character.is_control() && character != '\t';
    let text = record.text().replace(control, "\u{fffd}");
    format!("{time} {service}: {}\n", style.paint(look, &text))
}

/// Reports each number of lost lines once, unless a line already reports them.
fn tell_lost(reader: &Reader, told: &mut u64) {
    let lost = reader.lost();
    if lost > *told {
        // A failure to write this cannot be reported.
        let _ = writeln!(
            io::stderr(),
            "tare: {lost} lines are lost: the disk takes none, and memory is full"
        );
    }
    *told = lost;
}

#[cfg(test)]
mod tests;
