//! systemd's own varlink client, at a machine's control socket.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tare_image::apt::Apt;
use tare_image::cache;
use tare_image::progress::Progress;
use tare_qemu::{Vm, secs, target};

use crate::Scratch;

/// trixie's `varlinkctl` (257) with the libraries it needs. Debian 12 does not have it.
const PACKAGES: &[&str] = &["systemd"];
/// Needed only by maintainer scripts and by programs not run here.
const ASSUMED: &[&str] = &["debconf", "mount"];
/// Path of the machine's socket in a session of the ssh service.
const SOCKET: &str = "/run/tare/tare.sock";
/// Timeout for ssh to forward the socket.
const FORWARD: Duration = secs(20);

/// The machine's control socket, forwarded to this host, and a client for it.
#[derive(Debug)]
pub struct Varlinkctl {
    folder: Scratch,
    forward: Child,
}

impl Varlinkctl {
    /// Unpacks the client and forwards the socket of `vm`.
    ///
    /// # Errors
    /// The packages cannot be downloaded, or ssh does not forward.
    pub fn at(vm: &Vm) -> Result<Self> {
        let folder = Scratch::new("varlinkctl")?;
        Progress::new(&target().join("log")).stage("varlinkctl", |stage| {
            let apt = Apt::open(&cache::root()?, stage)?;
            let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
            for deb in apt.download(&words(PACKAGES), &words(ASSUMED))? {
                let mut extract = Command::new("dpkg-deb");
                stage.run(extract.arg("--extract").arg(&deb.path).arg(folder.path()))?;
            }
            Ok(())
        })?;
        let forward = forward(vm, &folder.path().join("tare.sock"))?;
        Ok(Self { folder, forward })
    }

    /// The forwarded socket on this host.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("tare.sock")
    }

    /// The output of `varlinkctl` with `arguments`, in which the forwarded socket's path replaces the machine's.
    ///
    /// # Errors
    /// It fails.
    pub fn output(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().context("run varlinkctl")?;
        ensure!(
            output.status.success(),
            "varlinkctl {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Its output while `work` runs, after which it is stopped.
    ///
    /// # Errors
    /// It does not start, or `work` fails.
    pub fn output_during(
        &self,
        arguments: &[&str],
        work: impl FnOnce() -> Result<()>,
    ) -> Result<String> {
        let mut command = self.command(arguments);
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let worked = work();
        child.kill()?;
        let output = child.wait_with_output()?;
        worked?;
        Ok(String::from_utf8(output.stdout)?)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let root = self.folder.path();
        let libraries = root.join("usr/lib/x86_64-linux-gnu");
        let socket = self.socket();
        let words = arguments.iter().map(|&word| match word {
            SOCKET => socket.as_os_str(),
            other => other.as_ref(),
        });
        let mut command = Command::new(root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(format!("{0}:{0}/systemd", libraries.display()))
            .arg(root.join("usr/bin/varlinkctl"))
            .args(words);
        command
    }
}

impl Drop for Varlinkctl {
    fn drop(&mut self) {
        // ssh may have exited with its machine.
        let _ = self.forward.kill();
        let _ = self.forward.wait();
        let _ = fs::remove_dir_all(self.folder.path());
    }
}

fn forward(vm: &Vm, socket: &Path) -> Result<Child> {
    let mut ssh = Command::new("ssh")
        .arg("-F")
        .arg(vm.machine().folder().join("ssh-config"))
        .args(["-N", "-o", "ExitOnForwardFailure=yes", "-L"])
        .arg(format!("{}:{SOCKET}", socket.display()))
        .arg("tare")
        .stdin(Stdio::null())
        .spawn()
        .context("start ssh")?;
    let deadline = Instant::now() + vm.scaled(FORWARD);
    // ssh does not report when it listens.
    while !socket.exists() {
        if let Some(status) = ssh.try_wait()? {
            bail!("ssh does not forward: {status}");
        }
        if Instant::now() > deadline {
            ssh.kill()?;
            ssh.wait()?;
            bail!("ssh does not forward in time");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(ssh)
}
