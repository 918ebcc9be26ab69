//! The report, as printed and as written to `docs/benchmarks.md`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::figures::{Figure, Unit};
use crate::launcher::Means;
use crate::logging::{Keeper, LINES};
use crate::results::Results;
use crate::spread::Spread;
use crate::systems::Name;
use crate::tables::Table;
use crate::targets::{TARGETS, ratio};

/// What the figures mean and how they are measured.
const PREFACE: &str = include_str!("preface.md");
/// Shown for what was not measured, or does not apply.
const NOTHING: &str = "–";

/// The whole report.
pub(crate) fn text(results: &Results, machine: &str) -> String {
    let sections = [
        ("Targets", targets(results)),
        ("Figures", figures(results)),
        ("Start of a container", containers(results)),
        ("Lines of the log", logs(results)),
        ("First boot of a new disk", first_boots(results)),
        ("Memory by process", processes(results)),
        ("Versions", versions(results)),
    ];
    let runs = results.runs;
    let mut text = format!("{PREFACE}\n{machine}- {runs} boots of each system, in turn\n");
    for (title, section) in sections {
        text += &format!("\n## {title}\n\n{section}");
    }
    text
}

/// Writes the report into the documentation.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn write(text: &str) -> Result<()> {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = package
        .parent()
        .unwrap_or(package)
        .join("docs/benchmarks.md");
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn targets(results: &Results) -> String {
    let mut table = Table::new(&["Tare's", "measured", "target", ""]);
    for target in TARGETS {
        let judged = target.judge(results);
        let (measured, verdict) = judged.map_or_else(
            || (NOTHING.to_owned(), "not measured".to_owned()),
            |(measured, verdict)| (measured, verdict.to_string()),
        );
        table.row(vec![target.what(), measured, target.limit(), verdict]);
    }
    table.text()
}

fn figures(results: &Results) -> String {
    let mut headings = vec![""];
    headings.extend(Name::ALL.map(Name::label));
    headings.extend(["Tare / Debian", "Tare / floor"]);
    let mut table = Table::new(&headings);
    for figure in Figure::ALL {
        let mut row = vec![figure.label().to_owned()];
        row.extend(Name::ALL.map(|name| cell(results.spread(name, figure), figure.unit())));
        row.extend([Name::Debian, Name::Floor].map(|other| {
            let ratio = ratio(results, figure, other).filter(|ratio| ratio.is_finite());
            ratio.map_or_else(|| NOTHING.to_owned(), |ratio| format!("{ratio:.2}"))
        }));
        table.row(row);
    }
    table.text()
}

/// The median, and the range if there is one.
fn cell(spread: Option<Spread>, unit: Unit) -> String {
    let Some(spread) = spread else {
        return NOTHING.to_owned();
    };
    let [median, min, max] = [spread.median, spread.min, spread.max].map(|value| unit.write(value));
    if min == max {
        return median;
    }
    format!("{median} ({min} .. {max})")
}

fn containers(results: &Results) -> String {
    let headings = ["", "until its program runs", "start to end", "/ crun"];
    let mut table = Table::new(&headings);
    let crun = results.container(Means::Crun).map(|spread| spread.median);
    for means in Means::ALL {
        let whole = results.container(means);
        let ratio = whole
            .zip(crun)
            .map(|(whole, crun)| format!("{:.2}", whole.median / crun));
        table.row(vec![
            means.label().to_owned(),
            cell(results.until_exec(means), Unit::Seconds),
            cell(whole, Unit::Seconds),
            ratio.unwrap_or_else(|| NOTHING.to_owned()),
        ]);
    }
    table.text()
}

fn logs(results: &Results) -> String {
    let mut table = Table::new(&["lines", "time", "a second", "of a processor"]);
    for keeper in Keeper::ALL {
        let spread = results.log(keeper, |kept| kept.took);
        let processor = results.log(keeper, |kept| kept.processor);
        let rate = spread.map(|spread| format!("{:.0}", LINES as f64 / spread.median));
        table.row(vec![
            format!("{LINES} by {}", keeper.label()),
            cell(spread, Unit::Seconds),
            rate.unwrap_or_else(|| NOTHING.to_owned()),
            cell(processor, Unit::Seconds),
        ]);
    }
    table.text()
}

fn first_boots(results: &Results) -> String {
    let mut table = Table::new(&["", "ssh banner", "`docker info`"]);
    for (name, boot) in &results.first_boots {
        let times = [boot.ssh, boot.docker].map(|time| Unit::Seconds.write(time));
        table.row([name.label().to_owned()].into_iter().chain(times).collect());
    }
    table.text()
}

/// Processes of the same name share a line.
fn processes(results: &Results) -> String {
    let mut text = String::new();
    for (name, processes) in &results.processes {
        let mut by_name: BTreeMap<&str, (u32, f64)> = BTreeMap::new();
        for (process, pss) in processes {
            let entry = by_name.entry(process).or_default();
            *entry = (entry.0 + 1, entry.1 + pss);
        }
        let mut sorted: Vec<_> = by_name.into_iter().collect();
        sorted.sort_by(|a, b| b.1.1.total_cmp(&a.1.1));
        let words = sorted.into_iter().map(|(process, (count, pss))| {
            let times = if count > 1 {
                format!("{count} × ")
            } else {
                String::new()
            };
            format!("{times}{process} {}", Unit::Mebibytes.write(pss))
        });
        let list = words.collect::<Vec<_>>().join(", ");
        text += &format!("- {}: {list}\n", name.label());
    }
    text
}

fn versions(results: &Results) -> String {
    let line = |(name, versions): (&Name, &String)| {
        let versions = versions.lines().collect::<Vec<_>>().join(", ");
        format!("- {}: Linux {versions}\n", name.label())
    };
    results.versions.iter().map(line).collect()
}
