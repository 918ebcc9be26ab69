//! Which records are wanted.

use crate::record::{Record, wall_text};
use regex_lite::Regex;
use std::io;
use std::time::SystemTime;

/// What is wanted; what is not said is not asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these services.
    pub services: Vec<String>,
    /// Not before this moment of the wall clock.
    pub since: Option<SystemTime>,
    /// Of one boot.
    pub boot: Option<Boot>,
    /// With a text that this matches.
    pub grep: Option<Regex>,
}

/// A boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Counted back from the last one that there are records of: 0, -1 …
    Back(usize),
    /// By the first digits of its id.
    Id(String),
}

impl Boot {
    /// Reads `0`, `-1`, … or the kernel's boot id, at least its first 8 digits.
    ///
    /// # Errors
    /// Why it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Ok(back @ ..=0) = text.parse::<i32>() {
            return Ok(Self::Back(back.unsigned_abs() as usize));
        }
        match text.get(..8) {
            Some(id) if id.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                Ok(Self::Id(id.to_ascii_lowercase()))
            }
            _ => Err(format!(
                "`{text}` is not a boot: write 0 for this one, -1 for the one before, or 8 digits of its id"
            )),
        }
    }
}

/// Reads a moment: how long before `now`, as in `90s` or `1h 30min`, or RFC 3339, as in `2026-11-21T04:12:35Z`
/// or `2026-11-21 04:12:35`, UTC.
///
/// # Errors
/// Why it is neither.
pub fn since(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let long_ago = SystemTime::UNIX_EPOCH;
        return Ok(now.checked_sub(ago).unwrap_or(long_ago).max(long_ago));
    }
    humantime::parse_rfc3339_weak(text).map_err(|_| {
        format!(
            "`{text}` is not a moment: write how long ago, as in `10min`, or as in `2026-11-21T04:12:35Z`"
        )
    })
}

/// A filter in the form in which records are compared with it.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    services: Vec<String>,
    since: Option<String>,
    boot: Option<String>,
    grep: Option<Regex>,
}

impl Wanted {
    /// `boot_back` finds the boot that is so many before the last one.
    pub(super) fn resolve(
        filter: &Filter,
        boot_back: impl FnOnce(usize) -> io::Result<Option<String>>,
    ) -> io::Result<Self> {
        let boot = match &filter.boot {
            None => None,
            Some(Boot::Id(id)) => Some(id.clone()),
            // No record has this id.
            Some(Boot::Back(back)) => Some(boot_back(*back)?.unwrap_or_default()),
        };
        Ok(Self {
            services: filter.services.clone(),
            since: filter.since.map(wall_text),
            boot,
            grep: filter.grep.clone(),
        })
    }

    pub(super) fn lets(&self, record: &Record<'_>) -> bool {
        let service = |name: &String| name == record.service;
        (self.services.is_empty() || self.services.iter().any(service))
            && self
                .since
                .as_deref()
                .is_none_or(|since| record.wall >= since)
            && self.boot.as_deref().is_none_or(|boot| record.boot == boot)
            && self
                .grep
                .as_ref()
                .is_none_or(|grep| grep.is_match(&record.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn moments() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100_000);
        let at = |seconds| Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        let refused = "`soon` is not a moment: write how long ago, as in `10min`, or as in `2026-11-21T04:12:35Z`";
        for (text, want) in [
            ("90s", at(99_910)),
            ("1h 30min", at(94_600)),
            ("9999days", at(0)),
            ("1970-01-02T00:00:00Z", at(86_400)),
            ("1970-01-02 00:00:01", at(86_401)),
            ("soon", Err(refused.to_owned())),
        ] {
            assert_eq!(since(text, now), want, "{text}");
        }
    }

    #[test]
    fn boots() {
        let refused = |text| {
            format!(
                "`{text}` is not a boot: write 0 for this one, -1 for the one before, or 8 digits of its id"
            )
        };
        for (text, want) in [
            ("0", Ok(Boot::Back(0))),
            ("-1", Ok(Boot::Back(1))),
            ("3F2A90C1", Ok(Boot::Id("3f2a90c1".to_owned()))),
            ("3f2a90c1-0000-4000", Ok(Boot::Id("3f2a90c1".to_owned()))),
            ("1", Err(refused("1"))),
            ("last", Err(refused("last"))),
        ] {
            assert_eq!(Boot::parse(text), want, "{text}");
        }
    }
}
