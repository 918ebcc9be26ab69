//! What there is to say, to the kernel's log: this service runs before there is another one.

use std::io::{self, Write};

/// Writes a line at once, for each write is a record of its own there, and begins it with the service's name, which
/// nothing else would tell.
pub(crate) fn say(text: &str) {
    // There is nobody else to tell.
    let _ = io::stderr().write_all(format!("storage: {text}\n").as_bytes());
}
