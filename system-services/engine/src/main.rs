//! Keeps the two daemons of the engine running, side by side.
//!
//! | called as | does |
//! |---|---|
//! | `tare-engine` | runs containerd and dockerd until SIGTERM ([`engine`]) |
//! | `tare-engine load-images` | gives dockerd the images that came with the disk image ([`images`]) |
//! | `tare-engine pass-output` | passes the output of containers on, to be forwarded ([`output`]) |
//! | `tare-engine DAEMON ARGUMENTS…` | becomes one of them ([`launch`]) |
//! | `tare-engine libnetwork-setkey …` | gives dockerd a container's network namespace ([`setkey`]) |
//! | `containerd-shim-runc-v2 …` | becomes the shim of a container, outside the engine's cgroup ([`shim`]) |
//!
//! Containers keep running while a daemon, or this whole service, restarts (dockerd's `live-restore`). They are
//! stopped on shutdown of the machine.

mod api;
mod archive;
mod choice;
mod config;
mod daemon;
mod direct;
mod end;
mod engine;
mod firewall;
mod hold;
mod hook;
mod images;
mod launch;
mod names;
mod notify;
mod output;
mod overlaps;
mod restarts;
mod said;
mod setkey;
mod shim;
mod signals;
mod spare;
mod syslog;
mod untracked;
mod watch;

use anyhow::{Result, anyhow};
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = env::args_os();
    let program = arguments.next().unwrap_or_default();
    match run(&program, arguments.collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(program: &OsString, arguments: Vec<OsString>) -> Result<()> {
    if Path::new(program).file_name() == Some(shim::NAME.as_ref()) {
        return Err(anyhow!(
            "{}: {}",
            shim::PROGRAM,
            shim::become_it(&arguments)
        ));
    }
    match arguments.split_first() {
        None => engine::run(),
        Some((argument, _)) if argument == images::ARGUMENT => images::load_all(),
        Some((argument, _)) if argument == output::ARGUMENT => output::run(),
        Some((argument, arguments)) if argument == setkey::NAME => setkey::run(arguments),
        Some((daemon, arguments)) => {
            let error = launch::become_daemon(daemon, arguments);
            Err(anyhow!("{}: {error}", Path::new(daemon).display()))
        }
    }
}
