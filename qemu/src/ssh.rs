//! ssh into a guest, with the system's OpenSSH client and a key of our own.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait::Deadline;

/// A key pair without passphrase, made once per checkout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The private half.
    pub path: PathBuf,
    /// The public half, one line as in `authorized_keys`.
    pub public: String,
}

impl Key {
    /// The key in `folder`, which is made if it does not exist.
    ///
    /// # Errors
    /// ssh-keygen fails, or the files cannot be read.
    pub fn ensure(folder: &Path) -> Result<Self> {
        let path = folder.join("id_ed25519");
        if !path.exists() {
            generate(folder)?;
        }
        let public = path.with_extension("pub");
        let public =
            fs::read_to_string(&public).with_context(|| format!("read {}", public.display()))?;
        Ok(Self {
            path,
            public: public.trim_end().to_owned(),
        })
    }
}

/// Makes a pair beside `folder` and moves it there as a whole, so that two concurrent calls end up with the same
/// pair.
fn generate(folder: &Path) -> Result<()> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let unique = format!(
        "new-{}-{}",
        std::process::id(),
        NEXT.fetch_add(1, Ordering::Relaxed)
    );
    let fresh = folder.with_extension(unique);
    fs::create_dir_all(&fresh).with_context(|| format!("create {}", fresh.display()))?;
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "tare", "-f"])
        .arg(fresh.join("id_ed25519"))
        .output()
        .context("start ssh-keygen")?;
    if !output.status.success() {
        bail!("ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    }
    if fs::rename(&fresh, folder).is_err() {
        // Another call was first; its pair is as good.
        fs::remove_dir_all(&fresh)?;
    }
    Ok(())
}

/// The socket of the connection that commands share, in the guest's folder.
const SHARED: &str = "ssh-shared";

/// How to reach one guest: a configuration file for OpenSSH's client, host name `tare`.
#[derive(Debug, Clone)]
pub struct Ssh {
    folder: PathBuf,
    config: PathBuf,
}

impl Ssh {
    /// Writes `ssh-config` to `folder` for a guest behind `port` of the host's loopback.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn configure(folder: &Path, port: u16, key: &Key) -> Result<Self> {
        let config = folder.join("ssh-config");
        fs::write(&config, config_text(folder, port, key))
            .with_context(|| format!("write {}", config.display()))?;
        let ssh = Self {
            folder: folder.to_owned(),
            config,
        };
        ssh.hang_up();
        Ok(ssh)
    }

    /// The file, for `ssh -F FILE tare`.
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Runs `command` in the guest's shell, over a connection that all such commands share: an emulated guest takes
    /// seconds for each login.
    ///
    /// # Errors
    /// The client cannot be started, or does not finish within `patience`. A failed login is status 255.
    pub fn output(&self, command: &str, patience: Duration) -> Result<Output> {
        // A relative path, because a socket's path may have only 107 bytes.
        let shared = [
            "-oControlMaster=auto",
            "-oControlPersist=yes",
            &format!("-oControlPath={SHARED}"),
        ];
        self.run(&shared, command, patience)
    }

    /// The same with a login of its own.
    ///
    /// # Errors
    /// As [`Ssh::output`].
    pub fn login(&self, command: &str, patience: Duration) -> Result<Output> {
        self.run(&[], command, patience)
    }

    /// Abandons the shared connection, whose other end may be gone without notice.
    pub(crate) fn hang_up(&self) {
        // Without the socket's name the next command opens a new connection; the old one ends with the guest's QEMU.
        let _ = fs::remove_file(self.folder.join(SHARED));
    }

    fn run(&self, options: &[&str], command: &str, patience: Duration) -> Result<Output> {
        let mut ssh = Command::new("ssh");
        ssh.current_dir(&self.folder)
            .arg("-F")
            .arg(&self.config)
            .args(options)
            .args(["tare", "--", command]);
        output_within(&mut ssh, patience).with_context(|| format!("ssh `{command}`"))
    }
}

/// The alias keeps the host key under one name whatever the port, so that a guest whose key changes from one boot to
/// the next is refused.
fn config_text(folder: &Path, port: u16, key: &Key) -> String {
    format!(
        "Host tare\n  HostName 127.0.0.1\n  Port {port}\n  User root\n  IdentityFile \"{}\"\n  \
         IdentitiesOnly yes\n  UserKnownHostsFile \"{}\"\n  StrictHostKeyChecking accept-new\n  \
         HostKeyAlias tare\n  BatchMode yes\n  LogLevel ERROR\n  ConnectTimeout 60\n",
        key.path.display(),
        folder.join("known_hosts").display()
    )
}

/// As `Command::output`, but ends the process once `patience` has passed.
fn output_within(cmd: &mut Command, patience: Duration) -> Result<Output> {
    let mut child = cmd
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let deadline = Deadline::after(patience);
    let collected =
        receive(&stdout, deadline).and_then(|out| Some((out, receive(&stderr, deadline)?)));
    let Some((stdout, stderr)) = collected else {
        child.kill()?;
        child.wait()?;
        bail!("not done after {} s", patience.as_secs());
    };
    // It has closed its output and is about to exit.
    Ok(Output {
        status: child.wait()?,
        stdout,
        stderr,
    })
}

fn collect(source: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut source) = source {
            // What was read before an error is still worth showing.
            let _ = source.read_to_end(&mut bytes);
        }
        // The receiver is gone when the deadline has passed.
        let _ = sender.send(bytes);
    });
    receiver
}

fn receive(bytes: &mpsc::Receiver<Vec<u8>>, deadline: Deadline) -> Option<Vec<u8>> {
    bytes.recv_timeout(deadline.left()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::secs;

    #[test]
    fn a_command_that_hangs_is_ended() {
        let error =
            output_within(Command::new("sleep").arg("60"), Duration::from_millis(50)).unwrap_err();
        assert_eq!(error.to_string(), "not done after 0 s");
    }

    #[test]
    fn output_and_status() {
        let mut cmd = Command::new("sh");
        let output =
            output_within(cmd.args(["-c", "echo out; echo err >&2; exit 3"]), secs(10)).unwrap();
        assert_eq!(output.status.code(), Some(3));
        assert_eq!(
            (output.stdout, output.stderr),
            (b"out\n".to_vec(), b"err\n".to_vec())
        );
    }

    #[test]
    fn the_guest_has_one_name_whatever_its_port() {
        let key = Key {
            path: "/t/ssh/id".into(),
            public: String::new(),
        };
        let text = config_text(Path::new("/t/vm"), 2222, &key);
        for line in [
            "  Port 2222",
            "  IdentityFile \"/t/ssh/id\"",
            "  UserKnownHostsFile \"/t/vm/known_hosts\"",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }
}
