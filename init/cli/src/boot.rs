//! `tare boot`: how the boot went.

mod plot;

pub(crate) use plot::plot;

use crate::style::{Look, Style};
use crate::table::{Align, Cell, table};
use crate::units::seconds;
use tare_control::{GetBootTimeline, Span, SpanKind};

/// `tare boot analyze`: each part with its beginning and duration, and what the machine waited for.
pub(crate) fn analyze(timeline: &GetBootTimeline, style: Style) -> String {
    let head = [
        ("PART", Align::Left),
        ("BEGAN", Align::Right),
        ("TOOK", Align::Right),
        ("AFTER", Align::Left),
    ];
    let rows = timeline.spans.iter().map(row).collect();
    let parts = table(head, rows, style);
    let chain = chain_text(&critical_chain(timeline), style);
    format!("{}\n\n{parts}\n{chain}", summary(timeline))
}

fn summary(timeline: &GetBootTimeline) -> String {
    let ready = match timeline.ready_at {
        Some(at) => format!("Ready {} after the kernel started", seconds(at)),
        None => "Not ready yet".to_owned(),
    };
    match (timeline.firmware, timeline.loader) {
        (Some(firmware), Some(loader)) => format!(
            "{ready}; before that, {} of firmware and {} of boot loader.",
            seconds(firmware),
            seconds(loader)
        ),
        _ => format!("{ready}."),
    }
}

fn row(span: &Span) -> [Cell; 4] {
    let look = match span.kind {
        SpanKind::Stage => Look::Bold,
        SpanKind::Service => Look::Plain,
    };
    [
        Cell::new(span.name.clone(), look),
        seconds(span.began).into(),
        Cell::or_dash(length(span).map(seconds)),
        Cell::new(span.after.join(" "), Look::Dim),
    ]
}

fn length(span: &Span) -> Option<u64> {
    Some(span.ended?.saturating_sub(span.began))
}

/// What the machine waited for: the last part that had to end before it was ready, the one that this part waited for
/// longest, and so on back to the beginning.
fn critical_chain(timeline: &GetBootTimeline) -> Vec<&Span> {
    // Services started on demand after the machine was ready do not count.
    let ready_at = timeline.ready_at.unwrap_or(u64::MAX);
    let awaited = |span: &&Span| span.required && span.began <= ready_at;
    let required = timeline.spans.iter().filter(awaited);
    let mut chain: Vec<&Span> = required
        .max_by_key(|span| span.ended.unwrap_or(u64::MAX))
        .into_iter()
        .collect();
    while let Some(last) = chain.last() {
        let before = timeline.spans.iter().filter(|span| {
            let waited = last.after.contains(&span.name);
            waited && !chain.iter().any(|known| known.name == span.name)
        });
        match before.max_by_key(|span| span.ended) {
            Some(span) => chain.push(span),
            None => break,
        }
    }
    chain
}

fn chain_text(chain: &[&Span], style: Style) -> String {
    if chain.is_empty() {
        return String::new();
    }
    let title = "The machine waited for (@ when it began, + how long it took):";
    let mut text = style.paint(Look::Bold, title) + "\n";
    for (depth, span) in chain.iter().enumerate() {
        let branch = match depth {
            0 => String::new(),
            _ => format!("{}└─", "  ".repeat(depth - 1)),
        };
        let took = length(span).map_or("…".to_owned(), seconds);
        text += &format!("{branch}{} @{} +{took}\n", span.name, seconds(span.began));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, ended: Option<u64>, after: &[&str]) -> Span {
        Span {
            name: name.to_owned(),
            kind: SpanKind::Service,
            required: name.starts_with('r'),
            began: 0,
            ended,
            after: after.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn critical_chains() {
        let a = || span("a", Some(3), &["b"]);
        let b = || span("b", Some(1), &[]);
        let used_later = Span {
            began: 5,
            ..span("r2", Some(9), &[])
        };
        for (ready_at, spans, want) in [
            (None, vec![], vec![]),
            (None, vec![a(), b()], vec![]),
            (
                Some(9),
                vec![span("r", Some(9), &["a", "b"]), a(), b()],
                vec!["r", "a", "b"],
            ),
            (
                None,
                vec![span("r1", Some(9), &["b"]), span("r2", None, &["a"]), a()],
                vec!["r2", "a"],
            ),
            (None, vec![span("r", Some(1), &["r", "gone"])], vec!["r"]),
            (
                None,
                vec![span("r1", Some(2), &["r2"]), span("r2", Some(1), &["r1"])],
                vec!["r1", "r2"],
            ),
            (
                Some(4),
                vec![span("r1", Some(4), &["a"]), used_later, a()],
                vec!["r1", "a"],
            ),
        ] {
            let timeline = GetBootTimeline {
                spans,
                ready_at,
                firmware: None,
                loader: None,
            };
            let names: Vec<&str> = critical_chain(&timeline)
                .into_iter()
                .map(|span| span.name.as_str())
                .collect();
            assert_eq!(names, want);
        }
    }
}
