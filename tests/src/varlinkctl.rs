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

/// trixie's `varlinkctl` (257) with what it is linked to. Debian 12 has none.
const PACKAGES: &[&str] = &["systemd"];
/// Wanted by maintainer scripts, and by what is not run here.
const ASSUMED: &[&str] = &["debconf", "mount"];
/// Where the machine has its socket, as a session of the ssh service sees it.
const SOCKET: &str = "/run/tare/tare.sock";
/// Until ssh has brought the socket here.
const FORWARD: Duration = secs(20);

/// The machine's control socket on this side, and a client for it.
#[derive(Debug)]
pub struct Varlinkctl {
    folder: Scratch,
    forward: Child,
}

impl Varlinkctl {
    /// Unpacks the client and forwards the socket of `vm`.
    ///
    /// # Errors
    /// The packages cannot be had, or ssh does not forward.
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

    /// The socket on this side.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("tare.sock")
    }

    /// What `varlinkctl` writes with `arguments`, the socket's path on this side in place of the machine's.
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

    /// What it writes while `work` is done, after which it is ended.
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
        // It may have ended with its machine.
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
    // ssh tells nobody when it listens.
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
