//! Messages to the kernel's log: this service runs before there is another one.

use std::io::{self, Write};

/// Writes a line that the console shows.
pub(crate) fn say(text: &str) {
    record("<5>", text);
}

/// Writes a line for the log only.
pub(crate) fn note(text: &str) {
    record("<6>", text);
}

/// Each write is a record of its own. The service's name stands in front because nothing else would tell.
fn record(level: &str, text: &str) {
    // There is no other place to report that this fails.
    let _ = io::stderr().write_all(format!("{level}storage: {text}\n").as_bytes());
}
