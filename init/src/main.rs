//! PID 1 of Tare: the only executable on the host.
//!
//! The kernel runs it under two names: as `/sbin/init` it boots the machine, as `/sbin/modprobe`
//! (`CONFIG_MODPROBE_PATH`) it loads a module and exits. PID 1 does the latter too, for devices that appear, and runs it
//! under three more names: [`network::worker`] configures the network on its behalf, a [`job`] waits for disks, and [`links`]
//! names devices.

mod boot;
mod clock;
mod config;
mod control;
mod effect;
mod event;
mod host;
mod job;
mod kmsg;
mod links;
mod mountinfo;
mod network;
mod paths;
mod plan;
mod shutdown;
mod supervisor;
mod task;
mod timeline;

use effect::modules;
use network::worker;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let name = Path::new(&name).file_name().unwrap_or_default();
    if name == modules::MODPROBE {
        return modules::modprobe(arguments);
    }
    if name == worker::NAME {
        return worker::main();
    }
    if name == job::NAME {
        return job::main();
    }
    if name == links::NAME {
        return links::main();
    }
    if std::process::id() != 1 {
        eprintln!("init: this is Tare's PID 1; it does nothing as any other process");
        return ExitCode::FAILURE;
    }
    boot::boot()
}
