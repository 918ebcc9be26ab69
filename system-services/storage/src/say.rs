//! Messages to the kernel's log: this service runs before the log service.

use std::io::{self, Write};

/// Writes a line that the console shows.
pub(crate) fn say(text: &str) {
    record("<5>", text);
}

/// Writes a line for the log only.
pub(crate) fn note(text: &str) {
    record("<6>", text);
}

/// Each write is a record of its own. It begins with the service's name because nothing else identifies the service.
fn record(level: &str, text: &str) {
    // There is nowhere else to report a failure.
    let _ = io::stderr().write_all(format!("{level}storage: {text}\n").as_bytes());
}
