//! The texts of all sources, end to end: an offset into them says which source it is in, and a value keeps its place when it
//! is merged.

use crate::error::Location;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The texts so far.
#[derive(Debug, Default)]
pub(super) struct Texts<'t>(Vec<Text<'t>>);

#[derive(Debug)]
struct Text<'t> {
    source: String,
    text: &'t str,
    /// Where it starts among all.
    start: usize,
    /// Where its lines start in it.
    lines: Vec<usize>,
}

impl<'t> Texts<'t> {
    /// Adds the text of `source` and returns where it starts.
    pub(super) fn add(&mut self, source: &str, text: &'t str) -> usize {
        // Offset 0 is left to tables that stand in no text.
        let start = self
            .0
            .last()
            .map_or(1, |last| last.start + last.text.len() + 1);
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        self.0.push(Text {
            source: source.to_owned(),
            text,
            start,
            lines: std::iter::once(0).chain(ends).collect(),
        });
        start
    }

    /// The names of the sources.
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|text| text.source.as_str())
    }

    /// The source of what is at `offset`, and its line, from 1.
    pub(super) fn line(&self, offset: usize) -> Option<(&str, usize)> {
        let (text, line) = self.find(offset)?;
        Some((&text.source, line))
    }

    /// The location of what is at `offset`.
    pub(super) fn location(&self, offset: usize) -> Location {
        let Some((text, line)) = self.find(offset) else {
            return Location {
                source: String::new(),
                line: 1,
                column: 1,
            };
        };
        let start = text.lines[line - 1];
        let until = text.text.get(start..offset - text.start);
        Location {
            source: text.source.clone(),
            line,
            column: until.map_or(1, |until| until.chars().count() + 1),
        }
    }

    fn find(&self, offset: usize) -> Option<(&Text<'t>, usize)> {
        let after = self.0.partition_point(|text| text.start <= offset);
        let text = self.0.get(after.checked_sub(1)?)?;
        let within = offset - text.start;
        Some((text, text.lines.partition_point(|start| *start <= within)))
    }
}

/// `table`, whose text starts at `start` among all.
pub(super) fn placed(table: DeTable<'_>, start: usize) -> DeTable<'_> {
    let entries = table.into_iter().map(|(key, value)| {
        let span = moved(&key.span(), start);
        (
            Spanned::new(span, key.into_inner()),
            placed_value(value, start),
        )
    });
    entries.collect()
}

fn placed_value(value: Spanned<DeValue<'_>>, start: usize) -> Spanned<DeValue<'_>> {
    let span = moved(&value.span(), start);
    let value = match value.into_inner() {
        DeValue::Table(table) => DeValue::Table(placed(table, start)),
        DeValue::Array(array) => {
            let elements = array
                .into_iter()
                .map(|element| placed_value(element, start));
            DeValue::Array(elements.collect())
        }
        other => other,
    };
    Spanned::new(span, value)
}

fn moved(span: &Range<usize>, by: usize) -> Range<usize> {
    span.start + by..span.end + by
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_lines_and_columns_of_their_source() {
        let mut texts = Texts::default();
        let starts =
            [("a", "x\nyz"), ("b", ""), ("c", "äb")].map(|(name, text)| texts.add(name, text));
        assert_eq!(starts, [1, 6, 7]);
        for (offset, want) in [
            (0, ":1:1"),
            (1, "a:1:1"),
            (3, "a:2:1"),
            (4, "a:2:2"),
            (5, "a:2:3"),
            (6, "b:1:1"),
            (7, "c:1:1"),
            (9, "c:1:2"),
            (99, "c:1:1"),
        ] {
            assert_eq!(texts.location(offset).to_string(), want, "{offset}");
        }
        assert_eq!(texts.line(3), Some(("a", 2)));
    }
}
