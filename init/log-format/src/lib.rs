//! The log's records: how they are written, and a reader of the folder that holds them.
//!
//! A record is one line. Its fields are separated by single spaces, and the last one is the text:
//!
//! ```text
//! 2026-11-21T04:12:35.527Z 12.345678 3f2a90c1 6 ssh stderr Server listening on 0.0.0.0 port 22.
//! ```
//!
//! Wall clock (RFC 3339, UTC), seconds since the boot (`CLOCK_BOOTTIME`), the first 8 digits of the
//! kernel's boot id, priority (0 to 7, RFC 5424, section 6.2.1), service, stream, text. The wall clock may jump when
//! the time is set; the seconds of one boot never do.

#![forbid(unsafe_code)]

mod escape;
mod files;
mod read;
mod record;
mod waiting;

pub use escape::{escape, unescape};
pub use files::{CURRENT, Files, Rotated};
pub use read::{Boot, Filter, Position, Reader, since};
pub use record::{LONGEST_LINE, Moment, Priority, Record, Stamp, harmless, push, wall_text};
pub use regex_lite::Regex;
pub use waiting::Waiting;
