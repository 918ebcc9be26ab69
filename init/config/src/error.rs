//! The one error type for all text that is parsed: where, what, and what instead.

use std::fmt;

/// A position in a source. Lines and columns start at 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The name of what was read, as in `user-data` or `ssh/service.toml`.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

impl Location {
    /// The location of byte `offset` in `text`.
    #[must_use]
    pub fn of(source: &str, text: &str, offset: usize) -> Self {
        let mut end = offset.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let before = &text[..end];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            source: source.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source, self.line, self.column)
    }
}

/// Why a text was rejected. It is rejected as a whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {message}")]
pub struct ConfigError {
    /// Where.
    pub location: Location,
    /// What is wrong and what would be right.
    pub message: String,
}

/// The message about a name that is not in `known`, with the nearest known name if one is close.
pub(crate) fn unknown(noun: &str, name: &str, known: &[&str]) -> String {
    match nearest(name, known) {
        Some(near) => format!("unknown {noun} `{name}`, did you mean `{near}`?"),
        None => format!("unknown {noun} `{name}`, known are {}", known.join(", ")),
    }
}

/// The nearest name in `known`, if its distance is at most a third of the longer name's length.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = |candidate: &&str| {
        let most = name.len().max(candidate.len()) / 3;
        // It is at least the difference of the lengths: what is much longer than a name is not compared.
        if name.len().abs_diff(candidate.len()) > most {
            return None;
        }
        Some(distance(name, candidate)).filter(|distance| *distance <= most)
    };
    let scored = known
        .iter()
        .filter_map(|candidate| Some((near(candidate)?, *candidate)));
    scored.min().map(|(_, candidate)| candidate)
}

/// Levenshtein distance, in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replace = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replace.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_offered() {
        for (name, want) in [
            ("hostnam", "unknown key `hostnam`, did you mean `hostname`?"),
            (
                "colour",
                "unknown key `colour`, known are hostname, network",
            ),
        ] {
            assert_eq!(unknown("key", name, &["hostname", "network"]), want);
        }
    }

    #[test]
    fn a_location_counts_characters_from_one() {
        for (offset, want) in [(0, "t:1:1"), (3, "t:1:3"), (5, "t:2:1"), (99, "t:2:4")] {
            assert_eq!(
                Location::of("t", "aäb\nxyz", offset).to_string(),
                want,
                "{offset}"
            );
        }
    }
}
