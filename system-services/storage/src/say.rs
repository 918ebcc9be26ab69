//! Messages to the kernel's log, as `storage` runs before the log service; for a second disk, to the log service.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the log service knows who writes.
static NAMED: AtomicBool = AtomicBool::new(false);

/// From now on, messages go to the log service.
pub(crate) fn to_log_service() {
    NAMED.store(true, Ordering::Relaxed);
}

/// Writes a line that the console shows.
pub(crate) fn say(text: &str) {
    record("<5>", text);
}

/// Writes a line about something that somebody should look after.
pub(crate) fn warn(text: &str) {
    record("<4>", text);
}

/// Writes a line for the log only.
pub(crate) fn note(text: &str) {
    record("<6>", text);
}

/// Each write is a record of its own. In the kernel's log it begins with the service's name because nothing else
/// identifies the service.
fn record(level: &str, text: &str) {
    let name = match NAMED.load(Ordering::Relaxed) {
        true => "",
        false => "storage: ",
    };
    // There is nowhere else to report a failure.
    let _ = io::stderr().write_all(format!("{level}{name}{text}\n").as_bytes());
}
