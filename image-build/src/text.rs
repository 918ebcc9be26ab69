//! Text formats that several files share.

use std::time::{Duration, SystemTime};

/// `seconds` since 1970 as `2026-01-31T23:59:59Z`.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    humantime::format_rfc3339_seconds(time).to_string()
}
