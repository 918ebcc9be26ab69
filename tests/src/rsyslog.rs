//! A real syslog receiver: Debian's rsyslog, run from its unpacked packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tare_image::progress::Progress;
use tare_qemu::target;

use crate::{certificates, debian};

const PACKAGES: [&str; 2] = ["rsyslog", "rsyslog-openssl"];
/// Needed only where rsyslog is installed.
const ASSUMED: [&str; 5] = [
    "debconf",
    "adduser",
    "init-system-helpers",
    "logrotate",
    "ucf",
];

/// The transport on which it receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// RFC 5426.
    Udp,
    /// RFC 6587.
    Tcp,
    /// RFC 5425.
    Tls,
}

/// A receiver on this host, which keeps what it receives across restarts.
#[derive(Debug)]
pub struct Rsyslog {
    folder: PathBuf,
    root: PathBuf,
    /// The port of `to` in `[log.forward]`, on this host.
    port: u16,
    transport: Transport,
    running: Option<Child>,
}

impl Rsyslog {
    /// Unpacks a receiver in `folder`, with a certificate for `host` signed by [`Rsyslog::ca`].
    ///
    /// # Errors
    /// The packages cannot be downloaded, or the certificate cannot be made.
    pub fn new(folder: &Path, transport: Transport, host: &str, port: u16) -> Result<Self> {
        let root = unpack(folder)?;
        let rsyslog = Self {
            folder: folder.to_owned(),
            root,
            port,
            transport,
            running: None,
        };
        certificates::make(folder, "tests", host)?;
        fs::write(folder.join("rsyslog.conf"), rsyslog.configuration())?;
        Ok(rsyslog)
    }

    /// The CA that signed its certificate, in PEM.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn ca(&self) -> Result<String> {
        Ok(fs::read_to_string(self.folder.join("ca.pem"))?)
    }

    /// # Errors
    /// It does not start.
    pub fn start(&mut self) -> Result<()> {
        // Debian's own linker and libraries, because the host's may be older.
        let linker = self.root.join("usr/lib64/ld-linux-x86-64.so.2");
        let libraries = self.root.join("usr/lib/x86_64-linux-gnu");
        let mut command = Command::new(linker);
        command.arg("--library-path").arg(&libraries);
        command.arg(self.root.join("usr/sbin/rsyslogd"));
        command.arg("-n").arg("-i").arg(self.folder.join("pid"));
        command.arg("-f").arg(self.folder.join("rsyslog.conf"));
        command.arg("-M").arg(libraries.join("rsyslog"));
        self.running = Some(command.spawn().context("start rsyslogd")?);
        Ok(())
    }

    /// Stops it with SIGTERM, as an init system does.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(&mut self) -> Result<()> {
        let mut running = self.running.take().context("it does not run")?;
        kill(Pid::from_raw(running.id().try_into()?), Signal::SIGTERM)?;
        running.wait()?;
        Ok(())
    }

    /// What it has received, one line each: `APP-NAME MSGID SEVERITY HOSTNAME TIMESTAMP MSG`.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn received(&self) -> Result<Vec<String>> {
        match fs::read_to_string(self.folder.join("received")) {
            Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    fn configuration(&self) -> String {
        let (folder, port) = (self.folder.display(), self.port);
        let input = match self.transport {
            Transport::Udp => format!(
                "module(load=\"imudp\")\ninput(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")"
            ),
            Transport::Tcp => format!(
                "module(load=\"imtcp\")\ninput(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"
            ),
            Transport::Tls => format!(
                "module(load=\"imtcp\" StreamDriver.Name=\"ossl\" StreamDriver.Mode=\"1\" StreamDriver.AuthMode=\"anon\")\n\
                 input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")"
            ),
        };
        format!(
            "global(workDirectory=\"{folder}\" maxMessageSize=\"64k\" DefaultNetstreamDriverCAFile=\"{folder}/ca.pem\" \
             DefaultNetstreamDriverCertFile=\"{folder}/server.pem\" DefaultNetstreamDriverKeyFile=\"{folder}/server.key\")\n\
             {input}\n\
             template(name=\"fields\" type=\"string\" \
             string=\"%app-name% %msgid% %syslogseverity% %hostname% %timestamp:::date-rfc3339% %msg%\\n\")\n\
             action(type=\"omfile\" file=\"{folder}/received\" template=\"fields\")\n"
        )
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        if let Some(running) = &mut self.running {
            // It may have exited by itself.
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

/// A root filesystem in `folder` with rsyslog and what it needs.
///
/// # Errors
/// The packages cannot be downloaded or unpacked.
pub fn unpack(folder: &Path) -> Result<PathBuf> {
    let root = folder.join("root");
    let progress = Progress::new(&target().join("log"));
    progress.stage("rsyslog", |stage| {
        debian::unpack(&root, &PACKAGES, &ASSUMED, stage)
    })?;
    Ok(root)
}
