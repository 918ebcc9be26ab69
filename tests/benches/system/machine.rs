//! What the figures were measured on.

use std::fs;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result};

use crate::systems::{Name, Systems};

/// One line on the host and one on QEMU.
///
/// # Errors
/// A machine cannot be made, or QEMU cannot be started.
pub(crate) fn describe(systems: &Systems) -> Result<String> {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let (qemu, _) = systems.machine(Name::Floor)?.command();
    let words: Vec<_> = qemu.get_args().map(|word| word.to_string_lossy()).collect();
    let shape: Vec<_> = words
        .windows(2)
        .filter(|pair| ["-machine", "-accel", "-cpu", "-smp", "-m"].contains(&&*pair[0]))
        .map(|pair| pair.join(" "))
        .collect();
    Ok(format!(
        "- Host: {cpus} × {}, Linux {}\n- {}: `{}`\n",
        processor().unwrap_or_default(),
        fs::read_to_string("/proc/sys/kernel/osrelease")?.trim_end(),
        qemu_version(qemu.get_program())?,
        shape.join(" ")
    ))
}

fn processor() -> Option<String> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").ok()?;
    let name = cpuinfo
        .lines()
        .find_map(|line| line.strip_prefix("model name"))?;
    Some(name.trim_start_matches([':', '\t', ' ']).to_owned())
}

fn qemu_version(program: &std::ffi::OsStr) -> Result<String> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .context("start QEMU")?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}
