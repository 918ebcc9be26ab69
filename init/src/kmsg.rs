//! Logs to the kernel's ring buffer, which exists before anything else and reaches every console.

mod console;
mod relay;

use log::{Level, LevelFilter, Log, Metadata, Record};
use nix::libc::c_int;
use relay::Relay;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::{Mutex, OnceLock};

/// The longest record the kernel takes in one write (`PRINTKRB_RECORD_MAX`, 6.12).
const MAX_RECORD: usize = 1024;

/// Syslog facility 3, "system daemons" (RFC 5424, section 6.2.1), so that readers can tell us
/// from the kernel.
const FACILITY: u8 = 3 << 3;

static KMSG: OnceLock<Kmsg> = OnceLock::new();

struct Kmsg {
    device: File,
    /// The process that writes for us, once it is started.
    relay: Mutex<Option<Relay>>,
    /// The console level that the machine was started with.
    started: OnceLock<c_int>,
}

/// Sends everything logged to `/dev/kmsg`.
///
/// The kernel's console shows records up to its `loglevel=`: a warning or worse, and what we
/// log as `info`, which is written as *notice* and meant for people.
pub(crate) fn init() -> io::Result<()> {
    let device = OpenOptions::new().write(true).open("/dev/kmsg")?;
    let kmsg = KMSG.get_or_init(|| Kmsg {
        device,
        relay: Mutex::new(None),
        started: OnceLock::new(),
    });
    log::set_max_level(LevelFilter::Debug);
    // A second call is refused; there is one call, in `boot`.
    let _ = log::set_logger(kmsg);
    Ok(())
}

/// Lifts the limit of ten records per five seconds; `/proc` must be mounted.
pub(crate) fn lift_limit() -> io::Result<()> {
    std::fs::write("/proc/sys/kernel/printk_devkmsg", "on\n")
}

/// Starts the relay, which waits for the consoles in our place from now on. PID 1 must have one thread.
pub(crate) fn relay() -> io::Result<()> {
    let Some(kmsg) = KMSG.get() else {
        return Ok(());
    };
    let level = console::level();
    if let Some(level) = level {
        // There is one call, in `boot`.
        let _ = kmsg.started.set(level);
    }
    let relay = Relay::start(&kmsg.device, level)?;
    if let Ok(mut slot) = kmsg.relay.try_lock() {
        *slot = Some(relay);
    }
    Ok(())
}

/// Has consoles show the records below `level`, from 1 to 8, or those that they showed when the machine was started.
pub(crate) fn show(level: Option<c_int>) {
    let Some(kmsg) = KMSG.get() else {
        return;
    };
    let level = level.or_else(|| kmsg.started.get().copied());
    if let (Some(level), Ok(mut slot)) = (level, kmsg.relay.try_lock()) {
        slot.iter_mut().for_each(|relay| relay.set_level(level));
    }
}

/// Gives the relay a moment to write what is queued; from now on we write directly. For the machine's end.
pub(crate) fn settle() {
    let relay = KMSG
        .get()
        .and_then(|kmsg| kmsg.relay.try_lock().ok()?.take());
    if let Some(relay) = relay {
        relay.settle();
    }
}

impl Kmsg {
    /// A failure to write the log has nowhere to be reported.
    fn write(&self, line: &str) {
        // If we panic while holding the lock, write to /dev/kmsg directly.
        let relayed = self.relay.try_lock().is_ok_and(|mut slot| {
            slot.as_mut()
                .is_some_and(|relay| relay.send(line, &self.device).is_ok())
        });
        if !relayed {
            let _ = (&self.device).write(line.as_bytes());
        }
    }
}

impl Log for Kmsg {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // Hides what the netlink crates trace.
        metadata.level() <= Level::Warn || metadata.target().starts_with("init")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            self.write(&line(record.level(), &record.args().to_string()));
        }
    }

    fn flush(&self) {}
}

/// One record: `<priority>tare: text`, on one line and of a length that the kernel accepts.
fn line(level: Level, text: &str) -> String {
    let severity = match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 5,
        Level::Debug => 6,
        Level::Trace => 7,
    };
    let mut line = format!(
        "<{}>tare: {}",
        FACILITY | severity,
        text.replace('\n', "; ")
    );
    let mut end = line.len().min(MAX_RECORD - 64);
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    line.truncate(end);
    // Without it, the kernel waits for the rest, and holds the record back until the next one (`vprintk_store()`,
    // `LOG_NEWLINE`).
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_one_line_with_its_priority() {
        assert_eq!(line(Level::Info, "a\nb"), "<29>tare: a; b\n");
        assert_eq!(line(Level::Error, &"ä".repeat(2000)).len(), 961);
    }
}
