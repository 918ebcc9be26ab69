//! When a periodic service runs.

mod calendar;
mod date;
mod field;

pub use calendar::Calendar;
#[cfg(feature = "schema")]
pub(crate) use calendar::{WEEKDAYS, WORDS as CALENDAR_WORDS};

use crate::Span;
use serde::{Deserialize, Serialize};

/// When a periodic service runs: `15m`, or a calendar expression such as `Mon *-*-* 03:00`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Schedule {
    /// Once at the start, and then this long after each run began.
    Every(Span),
    /// Whenever the clock shows one of these times.
    At(Calendar),
}

impl TryFrom<String> for Schedule {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match Span::try_from(text.clone()) {
            Ok(span) if span >= Span::seconds(1) => Ok(Self::Every(span)),
            Ok(_) => Err(format!("`{text}` is too often: a second is the least")),
            Err(_) => Calendar::try_from(text).map(Self::At),
        }
    }
}

impl From<Schedule> for String {
    fn from(schedule: Schedule) -> Self {
        match schedule {
            Schedule::Every(span) => span.into(),
            Schedule::At(calendar) => calendar.into(),
        }
    }
}
