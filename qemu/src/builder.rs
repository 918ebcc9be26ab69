//! How a test or a command describes its machine.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::accel::Accel;
use crate::machine::Machine;
use crate::paths::target;
use crate::ports::Forward;
use crate::seed::Seed;
use crate::shape::{ConsoleTo, Disk, DiskBus, DiskFormat, Firmware, Network, Shape, Watchdog};
use crate::ssh::Key;
use crate::user_data::with_key;
use crate::vm::Vm;

/// OVMF with room for boot variables, as Debian's package ovmf installs it.
const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
pub(crate) const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";
/// The machine's copy of the variables, its disk and its fw_cfg file, in its folder.
pub(crate) const VARS: &str = "vars.fd";
pub(crate) const OVERLAY: &str = "disk.qcow2";
pub(crate) const USER_DATA: &str = "user-data";
/// Enough for the engine and a small app.
const MEMORY: u32 = 1024;
const CPUS: u32 = 2;
/// sshd's port in the guest.
pub(crate) const SSH: u16 = 22;
/// A guest port without a listener (RFC 863's): a refusal by the guest's kernel shows that the network is up.
pub(crate) const CLOSED: u16 = 9;

/// What a machine starts from; it is never written to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// The disk, below the machine's own overlay.
    pub disk: PathBuf,
    /// Its format.
    pub format: DiskFormat,
    /// The size of a machine's own disk in bytes; that of the base unless given.
    pub size: Option<u64>,
    /// For a start without firmware: kernel, initramfs and command line.
    pub direct: Option<Firmware>,
}

/// A machine under construction.
#[derive(Debug, Clone)]
pub struct Builder {
    pub(crate) base: Base,
    pub(crate) shape: Shape,
    pub(crate) accel: Accel,
    pub(crate) folder: Option<PathBuf>,
    pub(crate) disk_size: Option<u64>,
    pub(crate) user_data: Option<Vec<u8>>,
    pub(crate) seeds: Vec<(Seed, Vec<u8>)>,
    pub(crate) tolerated: Vec<String>,
    pub(crate) key: Option<Key>,
    parallel: bool,
    trouble: Option<String>,
}

impl Builder {
    pub(crate) fn new(base: Base) -> Self {
        Self {
            shape: default_shape(),
            disk_size: base.size,
            base,
            accel: Accel::Auto,
            folder: None,
            user_data: None,
            seeds: Vec::new(),
            tolerated: Vec::new(),
            key: None,
            parallel: false,
            trouble: None,
        }
    }

    /// Gives the machine this user-data through fw_cfg, with the key that [`Vm::ssh`] uses added.
    #[must_use]
    pub fn user_data(mut self, toml: &str) -> Self {
        match self.ssh_key().and_then(|key| with_key(toml, &key.public)) {
            Ok(text) => self.fw_cfg(text),
            Err(error) => {
                self.trouble = Some(format!("{error:#}"));
                self
            }
        }
    }

    /// Gives the machine these bytes through fw_cfg as they are, good or bad.
    #[must_use]
    pub fn fw_cfg(mut self, user_data: impl Into<Vec<u8>>) -> Self {
        self.shape.fw_cfg = Some(USER_DATA.into());
        self.user_data = Some(user_data.into());
        self
    }

    /// Attaches a NoCloud disk with these bytes as they are, good or bad.
    #[must_use]
    pub fn nocloud(mut self, seed: Seed, user_data: impl Into<Vec<u8>>) -> Self {
        self.seeds.push((seed, user_data.into()));
        self
    }

    /// In MiB.
    #[must_use]
    pub fn memory(mut self, mebibytes: u32) -> Self {
        self.shape.memory = mebibytes;
        self
    }

    /// Virtual processors.
    #[must_use]
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.shape.cpus = cpus;
        self
    }

    /// KVM or emulation.
    #[must_use]
    pub fn accel(mut self, accel: Accel) -> Self {
        self.accel = accel;
        self
    }

    /// Starts the base's kernel without firmware.
    #[must_use]
    pub fn direct(mut self) -> Self {
        match self.base.direct.clone() {
            Some(direct) => self.shape.firmware = direct,
            None => self.trouble = Some("this base names no kernel to start directly".to_owned()),
        }
        self
    }

    /// Starts with a BIOS.
    #[must_use]
    pub fn bios(mut self) -> Self {
        self.shape.firmware = Firmware::Bios;
        self
    }

    /// Adds words to the kernel's command line, after [`Builder::direct`].
    #[must_use]
    pub fn append(mut self, words: &str) -> Self {
        match &mut self.shape.firmware {
            Firmware::Direct { cmdline, .. } => *cmdline += &format!(" {words}"),
            Firmware::Uefi { .. } | Firmware::Bios => {
                self.trouble = Some("firmware takes no kernel command line".to_owned())
            }
        }
        self
    }

    /// The bus of the boot disk.
    #[must_use]
    pub fn bus(mut self, bus: DiskBus) -> Self {
        self.shape.disks[0].bus = bus;
        self
    }

    /// Makes the disk larger than its base, in bytes.
    #[must_use]
    pub fn disk_size(mut self, bytes: u64) -> Self {
        self.disk_size = Some(bytes);
        self
    }

    /// Attaches a further disk.
    #[must_use]
    pub fn disk(mut self, disk: Disk) -> Self {
        self.shape.disks.push(disk);
        self
    }

    /// Forwards a free port of the host to `guest`, on the first network.
    #[must_use]
    pub fn forward(self, guest: u16) -> Self {
        self.forward_from(0, guest)
    }

    /// Forwards `host` to `guest`, on the first network; replaces [`Builder::forward`]s of the same port.
    #[must_use]
    pub fn forward_from(mut self, host: u16, guest: u16) -> Self {
        if let Some(network) = self.shape.networks.first_mut() {
            network.forwards.retain(|forward| forward.guest != guest);
            network.forwards.push(Forward { host, guest });
        }
        self
    }

    /// Replaces the networks. Without any, the machine has no card.
    #[must_use]
    pub fn networks(mut self, networks: Vec<Network>) -> Self {
        self.shape.networks = networks;
        self
    }

    /// Adds a hardware watchdog.
    #[must_use]
    pub fn watchdog(mut self, watchdog: Watchdog) -> Self {
        self.shape.watchdog = Some(watchdog);
        self
    }

    /// QEMU exits when the guest reboots.
    #[must_use]
    pub fn exit_on_reboot(mut self) -> Self {
        self.shape.reboots = false;
        self
    }

    /// Where the serial port goes; a [`Vm`] that is waited on needs [`ConsoleTo::Pipe`], the default.
    #[must_use]
    pub fn console(mut self, console: ConsoleTo) -> Self {
        self.shape.console = console;
        self
    }

    /// Further arguments for QEMU.
    #[must_use]
    pub fn qemu(mut self, words: &[&str]) -> Self {
        self.shape
            .extra
            .extend(words.iter().map(|&word| word.to_owned()));
        self
    }

    /// Gives the machine a credential in SMBIOS (type 11).
    #[must_use]
    pub fn credential(self, name: &str, value: &str) -> Self {
        let escaped = value.replace(',', ",,");
        let string = format!("type=11,value=io.systemd.credential:{name}={escaped}");
        self.qemu(&["-smbios", &string])
    }

    /// Does not fail on this one of [`crate::FORBIDDEN`], because the test provokes it.
    #[must_use]
    pub fn tolerate(mut self, pattern: &str) -> Self {
        self.tolerated.push(pattern.to_owned());
        self
    }

    /// Keeps the machine in `folder`, and reuses the disk there if it has the same base. Otherwise a machine has its
    /// own folder, which is removed with the last value that refers to it.
    #[must_use]
    pub fn keep_in(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Logs in with this key instead of the one under `target/`.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = Some(key);
        self
    }

    /// Emulates each processor in its own thread: for measurements and interactive use.
    ///
    /// Otherwise one thread emulates all in turn. In parallel, QEMU (10.0) occasionally loses a guest: one processor
    /// runs into code that the other is patching, or waits for a timer that never fires.
    #[must_use]
    pub fn parallel(mut self) -> Self {
        self.parallel = true;
        self
    }

    /// Makes the machine, without starting it.
    ///
    /// # Errors
    /// An unsupported request, or a disk that cannot be made.
    pub fn machine(mut self) -> Result<Machine> {
        if let Some(trouble) = self.trouble.take() {
            anyhow::bail!(trouble);
        }
        self.ssh_key()?;
        self.shape.acceleration = self.accel.resolve(self.parallel)?;
        if self.shape.console == ConsoleTo::Pipe {
            self.forward_to_closed_port();
        }
        Machine::create(self)
    }

    /// For [`Vm::wait_ssh`].
    fn forward_to_closed_port(&mut self) {
        for network in &mut self.shape.networks {
            if network.forwards.iter().any(|forward| forward.guest == SSH) {
                network.forwards.push(Forward {
                    host: 0,
                    guest: CLOSED,
                });
            }
        }
    }

    /// Makes the machine and starts it.
    ///
    /// # Errors
    /// As [`Builder::machine`] and [`Machine::boot`].
    pub fn boot(self) -> Result<Vm> {
        self.machine()?.boot()
    }

    fn ssh_key(&mut self) -> Result<Key> {
        if self.key.is_none() {
            self.key = Some(Key::ensure(&target().join("ssh"))?);
        }
        self.key.clone().context("a key was just made")
    }
}

fn default_shape() -> Shape {
    Shape {
        // Replaced when the machine is made, because it depends on the host.
        acceleration: crate::Acceleration::Kvm,
        memory: MEMORY,
        cpus: CPUS,
        firmware: Firmware::Uefi {
            code: OVMF_CODE.into(),
            vars: VARS.into(),
        },
        disks: vec![Disk {
            path: OVERLAY.into(),
            format: DiskFormat::Qcow2,
            bus: DiskBus::Virtio,
            read_only: false,
        }],
        networks: vec![Network {
            forwards: vec![Forward {
                host: 0,
                guest: SSH,
            }],
            ..Network::default()
        }],
        fw_cfg: None,
        console: ConsoleTo::Pipe,
        watchdog: None,
        reboots: true,
        extra: Vec::new(),
    }
}
