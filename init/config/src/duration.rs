//! Time spans as people write them: `100ms`, `30s`, `5min`, `1h`.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A length of time, written as a whole number and a unit: `ms`, `s`, `min` (or `m`) or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(pub Duration);

/// Units, largest first, each with its length in milliseconds.
const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl Span {
    /// A span of whole seconds.
    #[must_use]
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    /// A span of milliseconds.
    #[must_use]
    pub const fn millis(millis: u64) -> Self {
        Self(Duration::from_millis(millis))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text).ok_or_else(|| {
            format!("`{text}` is not a span of time: write a whole number and ms, s, min or h, as in `30s`")
        })
    }
}

fn parse(text: &str) -> Option<Span> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let unit = if unit == "m" { "min" } else { unit };
    let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let number: u64 = number.parse().ok()?;
    number.checked_mul(*millis).map(Span::millis)
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        let millis = u64::try_from(span.0.as_millis()).unwrap_or(u64::MAX);
        let exact = |(_, unit): &&(&str, u64)| millis % unit == 0 && millis > 0;
        let (name, unit) = UNITS.iter().find(exact).unwrap_or(&UNITS[2]);
        format!("{}{name}", millis / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_round_trip() {
        for (text, millis) in [
            ("100ms", 100),
            ("30s", 30_000),
            ("5min", 300_000),
            ("2h", 7_200_000),
            ("0s", 0),
        ] {
            let span = Span::try_from(text.to_owned()).unwrap();
            assert_eq!(span, Span::millis(millis), "{text}");
            assert_eq!(String::from(span), text);
        }
    }

    #[test]
    fn minutes_have_a_short_unit() {
        assert_eq!(Span::try_from("15m".to_owned()), Ok(Span::seconds(900)));
    }

    #[test]
    fn what_is_no_span_is_refused() {
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "1.5s",
            "3 s",
            "1d",
            "99999999999999999999h",
        ] {
            let want = format!(
                "`{text}` is not a span of time: write a whole number and ms, s, min or h, as in `30s`"
            );
            assert_eq!(Span::try_from(text.to_owned()), Err(want));
        }
    }
}
