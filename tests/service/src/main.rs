//! A service controlled by tests of the supervisor.
//!
//! `talk PORT` and `fault PORT` take commands over TCP ([`talk`], [`fault`]); `echo` serves the sockets passed to it;
//! the other modes do one thing each.

mod echo;
mod fault;
mod greed;
mod line;
mod talk;

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

/// More than the start-timeout of `t-slow`.
const SLOW: Duration = Duration::from_secs(24);
/// PID 1 must receive the notification while the main process still exists.
const HEARD: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    if !matches!(words.first(), Some(&"check" | &"breed")) {
        println!("run {}", std::process::id());
    }
    match words[..] {
        ["check", path] => return exists(path),
        ["exit", status] => return ExitCode::from(status.parse().unwrap_or(255)),
        ["stubborn"] => stubborn(),
        ["fork"] => return fork(),
        ["breed"] => greed::breed(),
        _ => end_at_sigterm(),
    }
    match words[..] {
        ["talk", port] => talk::talk(port, Duration::ZERO),
        ["slow", port] => talk::talk(port, SLOW),
        ["echo"] => echo::echo(),
        ["listen", address] => line::listen(address),
        ["fault", port] => fault::fault(port),
        _ => sleep(),
    }
}

fn exists(path: &str) -> ExitCode {
    match Path::new(path).exists() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// The first process of a pid namespace receives no signal without a handler for it.
fn end_at_sigterm() {
    let always = Arc::new(AtomicBool::new(true));
    let term = signal_hook::consts::SIGTERM;
    if let Err(error) = signal_hook::flag::register_conditional_shutdown(term, 0, always) {
        println!("handle SIGTERM: {error}");
    }
}

/// Catches SIGTERM and continues; its child, which exits on SIGTERM, does not receive it.
fn stubborn() {
    let term = signal_hook::consts::SIGTERM;
    let _ = signal_hook::flag::register(term, Arc::new(AtomicBool::new(false)));
    let _ = child("sleep");
    println!("stubborn");
    sleep()
}

/// Makes a child the main process and exits.
fn fork() -> ExitCode {
    let Ok(child) = child("sleep") else {
        return ExitCode::FAILURE;
    };
    let states = [
        sd_notify::NotifyState::MainPid(child.id()),
        sd_notify::NotifyState::Ready,
    ];
    let _ = sd_notify::notify(&states);
    thread::sleep(HEARD);
    ExitCode::SUCCESS
}

fn child(mode: &str) -> std::io::Result<std::process::Child> {
    Command::new("/usr/bin/tare-test-service").arg(mode).spawn()
}

fn sleep() -> ! {
    loop {
        thread::park();
    }
}
