//! Colours, if wanted.

use crate::args::Color;
use std::io::{IsTerminal, stdout};
use tare_control::{Health, State};

/// How a word is shown (ECMA-48, SGR).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Look {
    Plain,
    Bold,
    Dim,
    Good,
    Busy,
    Bad,
}

/// Whether colours are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Style {
    pub(crate) colors: bool,
}

impl Style {
    /// Resolves `wanted` for this output (<https://no-color.org>).
    pub(crate) fn of(wanted: Color) -> Self {
        let unset = |name: &str| std::env::var_os(name).is_none_or(|value| value.is_empty());
        let capable = || std::env::var_os("TERM").is_some_and(|term| term != "dumb");
        let colors = match wanted {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => stdout().is_terminal() && unset("NO_COLOR") && capable(),
        };
        Self { colors }
    }

    /// `text` with this look.
    pub(crate) fn paint(self, look: Look, text: &str) -> String {
        let code = match look {
            _ if !self.colors || text.is_empty() => return text.to_owned(),
            Look::Plain => return text.to_owned(),
            Look::Bold => "1",
            Look::Dim => "2",
            Look::Good => "32",
            Look::Busy => "33",
            Look::Bad => "31",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

impl From<State> for Look {
    fn from(state: State) -> Self {
        match state {
            State::Ready | State::Done => Self::Good,
            State::Waiting | State::Starting | State::Stopping => Self::Busy,
            State::Degraded | State::BackingOff | State::Failed => Self::Bad,
            State::Stopped | State::Disabled => Self::Dim,
        }
    }
}

impl From<Health> for Look {
    fn from(health: Health) -> Self {
        match health {
            Health::Ready => Self::Good,
            Health::Starting | Health::Ending => Self::Busy,
            Health::Degraded => Self::Bad,
        }
    }
}
