//! The command line of `cargo boot`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use tare_qemu::{Accel, Base, Builder, Forward, Key, Vm, target};

use crate::DEFAULT_USER_DATA;

/// Build Tare's disk image and boot it in QEMU, with a live console: Ctrl-A X leaves.
///
/// Everything needed is made on the first run: host tools are installed with apt (after a yes), the kernel
/// and the image are built, and an ssh key is made under target/. Later runs build only what changed.
#[derive(Debug, Parser)]
#[command(name = "cargo boot", version)]
pub(crate) struct Options {
    /// Memory of the machine, in MiB
    #[arg(long, short, default_value_t = 1024, value_name = "MIB")]
    memory: u32,

    /// Virtual processors
    #[arg(long, short, default_value_t = 2)]
    cpus: u32,

    /// Start through UEFI firmware or a BIOS and their boot loaders, or let QEMU load the kernel directly
    #[arg(long, default_value = "uefi")]
    firmware: FirmwareKind,

    /// Hardware virtualisation or emulation; auto uses KVM only if guests really run under it
    #[arg(long, default_value = "auto")]
    accel: AccelKind,

    /// User-data for the machine (TOML) instead of the embedded one; this checkout's ssh key is added
    #[arg(long, short, value_name = "FILE")]
    user_data: Option<PathBuf>,

    /// Port of this host forwarded to the machine's ssh; if it is taken, another one is used
    #[arg(long, default_value_t = 2222, value_name = "PORT")]
    pub(crate) ssh_port: u16,

    /// Port of this host forwarded to the demo app (port 80); if it is taken, another one is used
    #[arg(long, default_value_t = 8080, value_name = "PORT")]
    pub(crate) demo_port: u16,

    /// Another TCP port to forward to the machine; may be repeated
    #[arg(long, short = 'p', value_name = "HOST:GUEST", value_parser = parse_forward)]
    forward: Vec<Forward>,

    /// Where the serial console goes; a log file keeps it in any case
    #[arg(long, default_value = "stdio", value_name = "stdio|log|socket:PATH", value_parser = parse_console)]
    pub(crate) console: ConsoleKind,

    /// No console on this terminal; same as --console log
    #[arg(long, conflicts_with = "console")]
    pub(crate) headless: bool,

    /// Size of the machine's disk in GiB when it is created; 8 by default
    #[arg(long, value_name = "GIB")]
    disk: Option<u64>,

    /// Discard the machine's state from earlier runs
    #[arg(long)]
    pub(crate) fresh: bool,

    /// Boot this disk image (raw, or .qcow2) instead of building one; it is not written to
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,

    /// Run unattended: boot a fresh machine, run a container, fetch the demo page, power off, print timings
    #[arg(long, conflicts_with_all = ["headless", "console", "user_data"])]
    pub(crate) check: bool,

    /// Install missing host tools without asking
    #[arg(long, short)]
    pub(crate) yes: bool,

    /// More arguments for QEMU
    #[arg(last = true, value_name = "QEMU OPTIONS")]
    qemu: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FirmwareKind {
    Uefi,
    Bios,
    Direct,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum AccelKind {
    Auto,
    Kvm,
    Tcg,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ConsoleKind {
    Stdio,
    Log,
    Socket(PathBuf),
}

impl Options {
    /// The part shared by interactive and unattended use.
    pub(crate) fn builder(&self, base: Base, key: &Key) -> Result<Builder> {
        let mut builder = Vm::of(base)
            .parallel()
            .key(key.clone())
            .memory(self.memory)
            .cpus(self.cpus);
        builder = builder.accel(match self.accel {
            AccelKind::Auto => Accel::Auto,
            AccelKind::Kvm => Accel::Kvm,
            AccelKind::Tcg => Accel::Tcg,
        });
        builder = match self.firmware {
            FirmwareKind::Uefi => builder,
            FirmwareKind::Bios => builder.bios(),
            FirmwareKind::Direct => builder.direct(),
        };
        if let Some(gibibytes) = self.disk {
            builder = builder.disk_size(gibibytes << 30);
        }
        for forward in &self.forward {
            builder = builder.forward_from(forward.host, forward.guest);
        }
        let qemu: Vec<_> = self.qemu.iter().map(String::as_str).collect();
        Ok(builder.user_data(&self.user_data()?).qemu(&qemu))
    }

    fn user_data(&self) -> Result<String> {
        match &self.user_data {
            None => Ok(DEFAULT_USER_DATA.to_owned()),
            Some(path) => {
                fs::read_to_string(path).with_context(|| format!("user-data {}", path.display()))
            }
        }
    }
}

/// The key that every machine started from this checkout accepts.
pub(crate) fn key() -> Result<Key> {
    Key::ensure(&target().join("ssh"))
}

/// `path` as a user would type it here.
pub(crate) fn typed(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

fn parse_forward(text: &str) -> Result<Forward, String> {
    let ports = text.split_once(':').and_then(|(host, guest)| {
        Some(Forward {
            host: host.parse().ok()?,
            guest: guest.parse().ok()?,
        })
    });
    ports.ok_or_else(|| "two ports are wanted, as in 8443:443".to_owned())
}

fn parse_console(text: &str) -> Result<ConsoleKind, String> {
    match (text, text.strip_prefix("socket:")) {
        ("stdio", _) => Ok(ConsoleKind::Stdio),
        ("log", _) => Ok(ConsoleKind::Log),
        (_, Some(path)) if !path.is_empty() => Ok(ConsoleKind::Socket(path.into())),
        _ => Err("stdio, log or socket:PATH is wanted".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn forwards() {
        for (text, want) in [
            (
                "8443:443",
                Ok(Forward {
                    host: 8443,
                    guest: 443,
                }),
            ),
            (
                "0:443",
                Ok(Forward {
                    host: 0,
                    guest: 443,
                }),
            ),
            (
                "443",
                Err("two ports are wanted, as in 8443:443".to_owned()),
            ),
            (
                "1:70000",
                Err("two ports are wanted, as in 8443:443".to_owned()),
            ),
        ] {
            assert_eq!(parse_forward(text), want, "{text}");
        }
    }

    #[test]
    fn consoles() {
        for (text, want) in [
            ("stdio", Ok(ConsoleKind::Stdio)),
            ("socket:/run/c", Ok(ConsoleKind::Socket("/run/c".into()))),
            (
                "socket:",
                Err("stdio, log or socket:PATH is wanted".to_owned()),
            ),
        ] {
            assert_eq!(parse_console(text), want, "{text}");
        }
    }
}
