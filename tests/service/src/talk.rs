//! Commands over TCP, one line and one connection each: `say TEXT` (to PID 1, `\n` for a new line), `starve`
//! (feed the watchdog no more), `ill` and `well` (how HTTP is answered), `touch PATH`, `remove PATH`, `env NAME`,
//! `exit`; and to do harm: `breed` (processes), `hoard` (memory), `fill PATH`.

use crate::greed;
use sd_notify::NotifyState;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

static FEEDS: AtomicBool = AtomicBool::new(true);
static WELL: AtomicBool = AtomicBool::new(true);

/// Says that it is ready after `delay`, and does what it is told for ever.
pub(crate) fn talk(port: &str, delay: Duration) -> ! {
    if !delay.is_zero() {
        say("EXTEND_TIMEOUT_USEC=60000000\nSTATUS=slow");
        thread::sleep(delay);
    }
    let port = port.parse().unwrap_or(0);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let Ok(listener) = listener else {
        println!("bind port {port}: {listener:?}");
        std::process::exit(3)
    };
    if let Some(interval) = sd_notify::watchdog_enabled() {
        thread::spawn(move || feed(interval / 2));
    }
    say("READY=1");
    for stream in listener.incoming().flatten() {
        let _ = serve(stream);
    }
    std::process::exit(4)
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

fn serve(stream: TcpStream) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line)?;
    let (command, rest) = line
        .trim_end()
        .split_once(' ')
        .unwrap_or((line.trim_end(), ""));
    let answer = match command {
        "GET" => http().to_owned(),
        "touch" => format!("{:?}\n", std::fs::write(rest, "")),
        "remove" => format!("{:?}\n", std::fs::remove_file(rest)),
        "fill" => greed::fill(rest),
        "hoard" => greed::hoard(),
        "breed" => greed::breed(),
        "env" => format!("{}\n", std::env::var(rest).unwrap_or_default()),
        "exit" => std::process::exit(rest.parse().unwrap_or(5)),
        _ => obey(command, rest),
    };
    (&stream).write_all(answer.as_bytes())
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
