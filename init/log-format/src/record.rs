//! Formats a record as a line, and parses it.

use crate::escape::{escape, unescape};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

/// The longest record, in bytes: its text has at most 16 KiB, which escaping makes four times as long at most.
pub const LONGEST_LINE: usize = (64 << 10) + 256;

/// A moment on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock.
    pub wall: SystemTime,
    /// Time since boot, including suspend.
    pub since_boot: Duration,
}

impl Moment {
    /// This moment.
    #[must_use]
    pub fn now() -> Self {
        let boot = clock_gettime(ClockId::Boottime);
        Self {
            wall: SystemTime::now(),
            since_boot: Duration::new(boot.tv_sec as u64, boot.tv_nsec as u32),
        }
    }

    /// The moment at `since_boot`, according to the wall clock's current setting.
    #[must_use]
    pub fn at(self, since_boot: Duration) -> Self {
        let ago = self.since_boot.saturating_sub(since_boot);
        Self {
            wall: self.wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH),
            since_boot,
        }
    }
}

/// A severity of RFC 5424, section 6.2.1, from 0 (emergency) to 7 (debug).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Priority(u8);

impl Priority {
    /// Something failed.
    pub const ERROR: Self = Self(3);
    /// Something may fail.
    pub const WARNING: Self = Self(4);
    /// An operator should look at it.
    pub const NOTICE: Self = Self(5);
    /// The default for services that do not give a priority.
    pub const INFO: Self = Self(6);

    /// The severity in a syslog priority, which also holds a facility.
    #[must_use]
    pub const fn of(priority: u32) -> Self {
        Self((priority % 8) as u8)
    }

    /// 0 to 7.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }
}

/// The prefix of the records of one moment: wall clock, seconds since the boot, boot id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Vec<u8>);

impl Stamp {
    /// `boot` is the kernel's boot id, or its first 8 digits.
    #[must_use]
    pub fn new(moment: Moment, boot: &str) -> Self {
        let wall = wall_text(moment.wall);
        let (seconds, micros) = (
            moment.since_boot.as_secs(),
            moment.since_boot.subsec_micros(),
        );
        let boot = boot.get(..8).unwrap_or("00000000");
        Self(format!("{wall} {seconds}.{micros:06} {boot} ").into_bytes())
    }
}

/// A wall-clock time as in records. Years have four digits and begin with 1970; a time out of that range is shown as
/// the nearer end.
#[must_use]
pub fn wall_text(wall: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since_epoch = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let shown = SystemTime::UNIX_EPOCH + since_epoch.min(LAST);
    humantime::format_rfc3339_millis(shown).to_string()
}

/// Appends a record to `out`, as a complete line.
pub fn push(
    out: &mut Vec<u8>,
    stamp: &Stamp,
    priority: Priority,
    [service, stream]: [&str; 2],
    text: &[u8],
) {
    out.extend_from_slice(&stamp.0);
    out.extend_from_slice(&[b'0' + priority.0, b' ']);
    out.extend_from_slice(service.as_bytes());
    out.push(b' ');
    out.extend_from_slice(stream.as_bytes());
    out.push(b' ');
    escape(text, out);
    out.push(b'\n');
}

/// A record as in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The wall clock, as in `2026-11-21T04:12:35.527Z`; sorts by time.
    pub wall: &'a str,
    /// Seconds since the boot, with 6 decimals.
    pub since_boot: &'a str,
    /// The first 8 digits of the kernel's boot id.
    pub boot: &'a str,
    /// How severe it is.
    pub priority: Priority,
    /// The writer: a service, `kernel`, `tare` (PID 1), or the name given by a caller of `syslog(3)`.
    pub service: &'a str,
    /// `stdout`, `stderr`, `kmsg`, `syslog`; `dropped` for the log's own records about a service.
    pub stream: &'a str,
    /// The text, still escaped.
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Parses `line`, without its end; `None` if it is not a record, because it is truncated or not ours.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut fields = line.splitn(7, |byte| *byte == b' ');
        let mut word = || std::str::from_utf8(fields.next()?).ok();
        let (wall, since_boot, boot) = (word()?, word()?, word()?);
        let (priority, service, stream) = (word()?, word()?, word()?);
        // After a power cut a file may end in zeros that were never written.
        let text = fields.next()?.split(|byte| *byte == 0).next()?;
        let fits = has_shape(wall, "0000-00-00T00:00:00.000Z")
            && is_seconds(since_boot)
            && boot.len() == 8
            && boot.bytes().all(|byte| byte.is_ascii_hexdigit())
            && is_word(service)
            && is_word(stream);
        let [digit @ b'0'..=b'7'] = *priority.as_bytes() else {
            return None;
        };
        fits.then_some(Self {
            wall,
            since_boot,
            boot,
            priority: Priority(digit - b'0'),
            service,
            stream,
            text,
        })
    }

    /// The text before it was escaped.
    #[must_use]
    pub fn original(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.text.len());
        unescape(self.text, &mut text);
        text
    }

    /// The text for display, still escaped; invalid UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> Cow<'a, str> {
        String::from_utf8_lossy(self.text)
    }

    /// The record as one line of JSON, without a line end.
    #[must_use]
    pub fn json(&self) -> String {
        let original = self.original();
        let json = Json {
            time: self.wall,
            uptime: self.since_boot.parse().unwrap_or_default(),
            boot: self.boot,
            priority: self.priority,
            service: self.service,
            stream: self.stream,
            text: &String::from_utf8_lossy(&original),
        };
        // Strings and numbers can always be serialised.
        harmless(&serde_json::to_string(&json).unwrap_or_default())
    }

    /// Appends the record to `out` in the format of a file.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (wall, since_boot, boot) = (self.wall, self.since_boot, self.boot);
        let (priority, service, stream) = (self.priority.0, self.service, self.stream);
        // Writing to a vector does not fail.
        let _ = write!(out, "{wall} {since_boot} {boot} ");
        let _ = write!(out, "{priority} {service} {stream} ");
        out.extend_from_slice(self.text);
        out.push(b'\n');
    }
}

#[derive(Serialize)]
struct Json<'a> {
    time: &'a str,
    uptime: f64,
    boot: &'a str,
    priority: Priority,
    service: &'a str,
    stream: &'a str,
    text: &'a str,
}

/// Escapes the control characters that terminals would obey: JSON escapes only those below U+0020. The others occur
/// only in its strings.
#[must_use]
pub fn harmless(json: &str) -> String {
    let mut harmless = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_control() {
            // Writing to a string does not fail.
            let _ = write!(harmless, "\\u{:04x}", u32::from(character));
        } else {
            harmless.push(character);
        }
    }
    harmless
}

/// Whether `text` has a digit wherever `shape` has `0`, and what `shape` has elsewhere.
fn has_shape(text: &str, shape: &str) -> bool {
    let fits = |(byte, shape): (u8, u8)| match shape {
        b'0' => byte.is_ascii_digit(),
        other => byte == other,
    };
    text.len() == shape.len() && text.bytes().zip(shape.bytes()).all(fits)
}

fn is_seconds(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts = text.split_once('.');
    parts.is_some_and(|(whole, micros)| digits(whole) && micros.len() == 6 && digits(micros))
}

fn is_word(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests;
