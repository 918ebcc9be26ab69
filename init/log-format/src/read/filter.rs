//! Which records are wanted.

use crate::record::{Record, wall_text};
use regex_lite::Regex;
use std::io;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// Which records are wanted. A field that is not set does not exclude any.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Any of these services.
    pub services: Vec<String>,
    /// Not before this wall-clock time.
    pub since: Option<SystemTime>,
    /// Of this boot.
    pub boot: Option<Boot>,
    /// Whose text matches.
    pub grep: Option<Regex>,
}

/// A boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Boot {
    /// Counted back from the last boot with records: 0, -1 …
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

/// Parses a time: a duration before `now`, as in `90s` or `1h 30min`; RFC 3339, as in `2026-11-21T04:12:35+01:00` or
/// `2026-11-21 04:12:35`, UTC; or the beginning of a day in UTC, as in `2026-11-21`, `today` or `yesterday`.
///
/// # Errors
/// Why it is none of them.
pub fn since(text: &str, now: SystemTime) -> Result<SystemTime, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        let long_ago = SystemTime::UNIX_EPOCH;
        return Ok(now.checked_sub(ago).unwrap_or(long_ago).max(long_ago));
    }
    moment(text, now).ok_or_else(|| {
        format!(
            "`{text}` is not a moment: write how long ago, as in `10min`, or as in `2026-11-21T04:12:35Z`"
        )
    })
}

fn moment(text: &str, now: SystemTime) -> Option<SystemTime> {
    const DATE: usize = "2026-11-21".len();
    // A clock that was never set may show the first possible day; times before it cannot be formatted.
    let day = |ago: Duration| wall_text((now - ago).max(SystemTime::UNIX_EPOCH))[..DATE].to_owned();
    let date = match text {
        "today" => day(Duration::ZERO),
        "yesterday" => day(DAY),
        _ => text.to_owned(),
    };
    if date.len() == DATE {
        return humantime::parse_rfc3339(&format!("{date}T00:00:00Z")).ok();
    }
    let (local, offset) = split_offset(&date);
    let moment = humantime::parse_rfc3339_weak(local).ok()?;
    match offset {
        None => Some(moment),
        Some((ahead, offset)) if ahead => moment.checked_sub(offset),
        Some((_, offset)) => moment.checked_add(offset),
    }
}

/// Splits off an offset from UTC (`+01:00`), if there is one: whether it is ahead, and how far.
fn split_offset(text: &str) -> (&str, Option<(bool, Duration)>) {
    let split = || {
        let (local, offset) = text.split_at_checked(text.len().checked_sub("+01:00".len())?)?;
        let (hours, minutes) = offset.get(1..)?.split_once(':')?;
        let number =
            |text: &str, most: u64| text.parse::<u64>().ok().filter(|number| *number <= most);
        let seconds = number(hours, 23)? * 3600 + number(minutes, 59)? * 60;
        let ahead = match offset.get(..1)? {
            "+" => true,
            "-" => false,
            _ => return None,
        };
        Some((local, Some((ahead, Duration::from_secs(seconds)))))
    };
    split().unwrap_or((text, None))
}

fn no_boot(back: usize) -> io::Error {
    let text = format!("the log has no boot -{back}: it does not reach back so far");
    io::Error::new(io::ErrorKind::NotFound, text)
}

/// A filter in a form that can be compared with records.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    services: Vec<String>,
    since: Option<String>,
    boot: Option<String>,
    grep: Option<Regex>,
}

impl Wanted {
    /// `boot_back` finds the boot that is this many before the last one.
    pub(super) fn resolve(
        filter: &Filter,
        boot_back: impl FnOnce(usize) -> io::Result<Option<String>>,
    ) -> io::Result<Self> {
        let boot = match &filter.boot {
            None => None,
            Some(Boot::Id(id)) => Some(id.clone()),
            Some(Boot::Back(back)) => match (boot_back(*back)?, back) {
                // The log is empty.
                (None, 0) => Some(String::new()),
                (None, _) => return Err(no_boot(*back)),
                (found, _) => found,
            },
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
            ("1970-01-02T02:00:00+02:00", at(86_400)),
            (
                "1970-01-01T23:30:00.250-00:30",
                at(86_400).map(|at| at + Duration::from_millis(250)),
            ),
            (
                "1970-01-02T02:00:00.250000+02:00",
                at(86_400).map(|at| at + Duration::from_millis(250)),
            ),
            ("1970-01-02", at(86_400)),
            ("today", at(86_400)),
            ("yesterday", at(0)),
            (
                "1970-01-02T02:00:00+2:00",
                Err(refused.replace("soon", "1970-01-02T02:00:00+2:00")),
            ),
            ("soon", Err(refused.to_owned())),
        ] {
            assert_eq!(since(text, now), want, "{text}");
        }
        assert_eq!(since("yesterday", SystemTime::UNIX_EPOCH), at(0));
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
