//! Commands as lines of [`crate::line`]: `say TEXT` (to PID 1, `\n` for a new line), `starve` (stop pinging the
//! watchdog), `ill` and `well` (how HTTP is answered), `touch PATH`, `remove PATH`, `env NAME`, `exit`; and, to do
//! harm: `breed` (processes), `hoard` (memory), `leak` (open files), `fill PATH`, `shout SECONDS` (to its output).

use crate::{greed, line};
use sd_notify::NotifyState;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

static FEEDS: AtomicBool = AtomicBool::new(true);
static WELL: AtomicBool = AtomicBool::new(true);

/// Reports that it is ready after `delay`, and serves commands for ever.
pub(crate) fn talk(port: &str, delay: Duration) -> ! {
    if !delay.is_zero() {
        say("EXTEND_TIMEOUT_USEC=60000000\nSTATUS=slow");
        thread::sleep(delay);
    }
    let listener = line::bind(port);
    if let Some(interval) = sd_notify::watchdog_enabled() {
        // If the machine pauses for a while, that is not the service's fault.
        thread::spawn(move || feed(interval / 4));
    }
    say("READY=1");
    line::serve(&listener, answer)
}

fn feed(interval: Duration) {
    while FEEDS.load(Ordering::Relaxed) {
        say("WATCHDOG=1");
        thread::sleep(interval);
    }
}

fn say(text: &str) {
    let _ = sd_notify::notify(&[NotifyState::Custom(text)]);
}

fn answer(command: &str, rest: &str) -> String {
    match command {
        "GET" => http().to_owned(),
        "touch" => format!("{:?}\n", std::fs::write(rest, "")),
        "remove" => format!("{:?}\n", std::fs::remove_file(rest)),
        "fill" => greed::fill(rest),
        "leak" => greed::leak(),
        "shout" => greed::shout(rest),
        "hoard" => greed::hoard(),
        "breed" => greed::breed(),
        "env" => format!("{}\n", std::env::var(rest).unwrap_or_default()),
        "exit" => std::process::exit(rest.parse().unwrap_or(5)),
        _ => obey(command, rest),
    }
}

fn obey(command: &str, rest: &str) -> String {
    match command {
        "say" => say(&rest.replace("\\n", "\n")),
        "starve" => FEEDS.store(false, Ordering::Relaxed),
        "ill" => WELL.store(false, Ordering::Relaxed),
        "well" => WELL.store(true, Ordering::Relaxed),
        other => return format!("no command {other}\n"),
    }
    "done\n".to_owned()
}

fn http() -> &'static str {
    match WELL.load(Ordering::Relaxed) {
        true => "HTTP/1.1 204 No Content\r\n\r\n",
        false => "HTTP/1.1 500 Internal Server Error\r\n\r\n",
    }
}
