//! `cargo boot` for interactive use: a machine whose state is kept, and its console on the terminal.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, absolute};

use anyhow::{Context, Result};
use tare_qemu::{Acceleration, Base, ConsoleTo, Firmware, Machine, Shape, Ssh, free_port, target};

use crate::options::{ConsoleKind, Options, key, typed};

/// Boots and becomes QEMU; returns only if that fails.
pub(crate) fn run(options: &Options, base: Base) -> Result<()> {
    let folder = target().join("boot");
    if options.fresh && folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let key = key()?;
    let (ssh_port, demo_port) = (free_port(options.ssh_port)?, free_port(options.demo_port)?);
    let machine = options
        .builder(base, &key)?
        .keep_in(&folder)
        .forward_from(ssh_port, 22)
        .forward_from(demo_port, 80)
        .console(console(options)?)
        .machine()?;
    let ssh = Ssh::configure(&folder, ssh_port, &key)?;
    become_qemu(options, &machine, &ssh, demo_port)
}

fn become_qemu(options: &Options, machine: &Machine, ssh: &Ssh, demo_port: u16) -> Result<()> {
    let (mut qemu, log) = machine.command();
    eprint!(
        "{}",
        greeting(machine.shape(), ssh.config(), demo_port, &log)
    );
    if options.headless || options.console != ConsoleKind::Stdio {
        eprintln!("  end it    kill {}", std::process::id());
    } else {
        eprintln!("  leave     Ctrl-A X");
    }
    // Replaces this program, so that QEMU alone has the terminal and receives signals.
    let error = qemu.exec();
    Err(error).context("start QEMU")
}

fn console(options: &Options) -> Result<ConsoleTo> {
    Ok(match &options.console {
        _ if options.headless => ConsoleTo::Log,
        ConsoleKind::Stdio => ConsoleTo::Terminal,
        ConsoleKind::Log => ConsoleTo::Log,
        // QEMU runs in the machine's folder.
        ConsoleKind::Socket(path) => ConsoleTo::Socket(absolute(path)?),
    })
}

fn greeting(shape: &Shape, ssh_config: &Path, demo_port: u16, log: &Path) -> String {
    let Shape { cpus, memory, .. } = shape;
    let start = match shape.firmware {
        Firmware::Uefi { .. } => "UEFI firmware",
        Firmware::Bios => "BIOS",
        Firmware::Direct { .. } => "kernel loaded by QEMU",
    };
    let cpu = match shape.acceleration {
        Acceleration::Kvm => "KVM",
        Acceleration::Tcg { .. } => "emulated: everything takes its time",
    };
    format!(
        "\nTare boots in QEMU: {cpus} CPUs ({cpu}), {memory} MiB, {start}\n  \
         log in    ssh -F {} tare\n  \
         demo app  http://127.0.0.1:{demo_port}/\n  \
         console   {}\n",
        typed(ssh_config),
        typed(log)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greeting_says_how_to_get_in() {
        let shape = Shape {
            acceleration: Acceleration::Kvm,
            memory: 512,
            cpus: 1,
            firmware: Firmware::Uefi {
                code: "c".into(),
                vars: "v".into(),
            },
            disks: Vec::new(),
            networks: Vec::new(),
            fw_cfg: None,
            console: ConsoleTo::Terminal,
            watchdog: None,
            reboots: true,
            extra: Vec::new(),
        };
        let want = "\nTare boots in QEMU: 1 CPUs (KVM), 512 MiB, UEFI firmware\n  \
                    log in    ssh -F /t/ssh-config tare\n  \
                    demo app  http://127.0.0.1:8080/\n  \
                    console   /t/console.log\n";
        assert_eq!(
            greeting(
                &shape,
                Path::new("/t/ssh-config"),
                8080,
                Path::new("/t/console.log")
            ),
            want
        );
    }
}
