//! What is wrong with the configuration of a machine, where, and what that costs.

use crate::error::{ConfigError, Location};
use std::fmt;

/// How much a problem matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// What it is about is left out.
    Error,
    /// What it is about is in force, but hardly as meant.
    Warning,
}

/// Something wrong with the text of a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Whether the key is left out.
    pub severity: Severity,
    /// The dotted key that it is about, as TOML would spell it; empty if it is the whole source.
    pub key: String,
    /// Where.
    pub location: Location,
    /// How many bytes of the text it is about, from there.
    pub length: usize,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Problem {
    /// The problem that rejects a source as a whole.
    pub(crate) fn rejects(error: ConfigError, length: usize) -> Self {
        Self {
            severity: Severity::Error,
            key: String::new(),
            location: error.location,
            length,
            message: error.message,
        }
    }

    /// Whether it costs the whole source.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.key.is_empty()
    }
}

/// How much of the start and of the end of a message is kept, in characters: what is wrong comes first, what would be right
/// last, and a name that a message quotes may be as long as a source.
const KEPT: (usize, usize) = (200, 1000);

/// `text` without its middle if it is long.
pub(crate) fn shortened(text: String) -> String {
    let (start, end) = KEPT;
    let length = text.chars().count();
    if length <= start + end {
        return text;
    }
    let first = text.chars().take(start);
    let last = text.chars().skip(length - end);
    first.chain(['…']).chain(last).collect()
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            location,
            message,
            ..
        } = self;
        match self.severity {
            Severity::Error if !self.is_whole() => {
                let key = shortened(key.clone());
                write!(f, "{location}: `{key}` is left out: {message}")
            }
            _ => write!(f, "{location}: {message}"),
        }
    }
}
