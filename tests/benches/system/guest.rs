//! What the guests are asked, and how their answers are read.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tare_qemu::Vm;

/// Waits until the engine answers.
pub(crate) const DOCKER_READY: &str = include_str!("guest/docker-ready.sh");
/// Waits until nothing happens, then tells what is used.
pub(crate) const IDLE: &str = include_str!("guest/idle.sh");
/// Starts a container three times.
pub(crate) const DOCKER_RUN: &str = include_str!("guest/docker-run.sh");
/// Tells the memory of each process.
pub(crate) const PROCESSES: &str = include_str!("guest/processes.sh");
/// Tells the versions of what matters here.
pub(crate) const VERSIONS: &str =
    "uname -r; docker version --format 'Docker {{.Server.Version}}'; ssh -V 2>&1";

/// What the guest's scripts start while they look; not the system's own.
const OURS: &[&str] = &["busybox", "containerd-shim", "docker"];

/// An idle system, in bytes and a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Idle {
    /// MemTotal − MemAvailable.
    pub(crate) memory: f64,
    /// Of user space, with the session that counts them.
    pub(crate) processes: f64,
}

impl Idle {
    /// Reads what [`IDLE`] wrote.
    ///
    /// # Errors
    /// A line is missing.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let used = number(text, "MemTotal")? - number(text, "MemAvailable")?;
        Ok(Self {
            memory: used * 1024.0,
            processes: number(text, "Processes")?,
        })
    }
}

/// Each process's name and PSS in bytes.
pub(crate) fn processes(text: &str) -> Vec<(String, f64)> {
    let process = |line: &str| {
        let (pss, name) = line.strip_prefix("Process ")?.split_once(' ')?;
        let ours = OURS.contains(&name);
        Some((name.to_owned(), pss.parse::<f64>().ok()? * 1024.0)).filter(|_| !ours)
    };
    text.lines().filter_map(process).collect()
}

/// Resident memory of PID 1 in bytes.
///
/// # Errors
/// There is no such line.
pub(crate) fn pid1_rss(text: &str) -> Result<f64> {
    Ok(number(text, "VmRSS")? * 1024.0)
}

/// The seconds between two readings of a clock on each line.
pub(crate) fn durations(text: &str) -> Vec<f64> {
    let duration = |line: &str| {
        let (start, end) = line.strip_prefix("Run ")?.split_once(' ')?;
        Some(end.parse::<f64>().ok()? - start.parse::<f64>().ok()?)
    };
    text.lines().filter_map(duration).collect()
}

fn number(text: &str, key: &str) -> Result<f64> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    values
        .next()
        .with_context(|| format!("no {key} in what the guest says: {text}"))
}

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

/// Gives the guest's engine the image `tare/bench`: the files of a package.
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
