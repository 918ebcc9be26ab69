//! Commands and input for the guests.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tare_qemu::Vm;

/// Waits until the engine answers.
pub(crate) const DOCKER_READY: &str = include_str!("guest/docker-ready.sh");
/// Waits until the guest is idle, then prints its memory and processes.
pub(crate) const IDLE: &str = include_str!("guest/idle.sh");
/// Starts a container three times.
pub(crate) const DOCKER_RUN: &str = include_str!("guest/docker-run.sh");
/// Prints the memory of each process.
pub(crate) const PROCESSES: &str = include_str!("guest/processes.sh");
/// Prints the status of PID 1, one `KEY VALUE` per line.
pub(crate) const PID1: &str = r#"awk '{ sub(":", "", $1); print $1, $2 }' /proc/1/status"#;
/// Prints the versions that matter here.
pub(crate) const VERSIONS: &str =
    "uname -r; docker version --format 'Docker {{.Server.Version}}'; ssh -V 2>&1";

/// Runs `command` in the guest with `input` on its stdin.
///
/// # Errors
/// ssh or the command fails.
pub(crate) fn send(vm: &Vm, command: &str, mut input: impl Read) -> Result<()> {
    let mut ssh = Command::new("ssh")
        .arg("-F")
        .arg(vm.machine().folder().join("ssh-config"))
        .args(["tare", "--", command])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("start ssh")?;
    if let Some(mut stdin) = ssh.stdin.take() {
        std::io::copy(&mut input, &mut stdin).with_context(|| format!("send to `{command}`"))?;
    }
    let status = ssh.wait()?;
    ensure!(status.success(), "`{command}`: {status}");
    Ok(())
}

/// Imports the files of a package into the guest's engine as the image `tare/bench`.
///
/// # Errors
/// dpkg-deb, ssh or docker fails.
pub(crate) fn import_image(vm: &Vm, package: &Path) -> Result<()> {
    let mut unpack = Command::new("dpkg-deb")
        .arg("--fsys-tarfile")
        .arg(package)
        .stdout(Stdio::piped())
        .spawn()
        .context("start dpkg-deb")?;
    let archive = unpack.stdout.take().context("dpkg-deb has no output")?;
    send(vm, "docker import - tare/bench", archive)?;
    let status = unpack.wait()?;
    ensure!(status.success(), "dpkg-deb: {status}");
    Ok(())
}
