//! PID 1 of Tare: the only executable on the host.
//!
//! The kernel runs it under two names: as `/sbin/init` it boots the machine, as `/sbin/modprobe`
//! (`CONFIG_MODPROBE_PATH`) it loads a module and ends.

mod boot;
mod clock;
mod config;
mod control;
mod effect;
mod host;
mod kmsg;
mod network;
mod paths;
mod plan;
mod shutdown;
mod supervisor;
mod task;
mod timeline;

use effect::modules;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    if Path::new(&name)
        .file_name()
        .is_some_and(|name| name == modules::MODPROBE)
    {
        return modules::modprobe(arguments);
    }
    if std::process::id() != 1 {
        eprintln!("init: this is Tare's PID 1; it does nothing as any other process");
        return ExitCode::FAILURE;
    }
    boot::boot()
}
