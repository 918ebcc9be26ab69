//! What a virtual machine is made of, as plain data.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use crate::accel::Acceleration;
use crate::ports::Forward;

/// A virtual machine: everything QEMU's command line says. Relative paths are in the machine's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// What runs the guest's instructions.
    pub acceleration: Acceleration,
    /// In MiB.
    pub memory: u32,
    /// Virtual processors.
    pub cpus: u32,
    /// How the machine starts.
    pub firmware: Firmware,
    /// In order; the first one is booted.
    pub disks: Vec<Disk>,
    /// In order: eth0, eth1, ...
    pub networks: Vec<Network>,
    /// A user-data file handed over as fw_cfg `opt/tare/user-data`.
    pub fw_cfg: Option<PathBuf>,
    /// Where the first serial port goes.
    pub console: ConsoleTo,
    /// A hardware watchdog (Intel 6300ESB).
    pub watchdog: Option<Watchdog>,
    /// Whether QEMU continues after the guest resets the machine, or exits.
    pub reboots: bool,
    /// Further arguments for the command line.
    pub extra: Vec<String>,
}

/// How the machine starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Firmware {
    /// OVMF, which starts the disk's boot loader.
    Uefi {
        /// The firmware's code, read-only.
        code: PathBuf,
        /// The machine's own copy of the variables.
        vars: PathBuf,
    },
    /// SeaBIOS, QEMU's own, which starts the code in the disk's first sector.
    Bios,
    /// QEMU loads a kernel itself.
    Direct {
        /// A bzImage.
        kernel: PathBuf,
        /// An initramfs, if the kernel needs one.
        initrd: Option<PathBuf>,
        /// The kernel's command line.
        cmdline: String,
    },
}

/// A disk, or a CD if its bus says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// The file behind it.
    pub path: PathBuf,
    /// The file's format.
    pub format: DiskFormat,
    /// The bus it is attached to.
    pub bus: DiskBus,
    /// The guest cannot write.
    pub read_only: bool,
}

/// A disk file's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFormat {
    /// The disk's bytes.
    Raw,
    /// QEMU's own, with a base below.
    Qcow2,
}

/// The bus of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DiskBus {
    /// virtio-blk: /dev/vda
    #[default]
    Virtio,
    /// /dev/nvme0n1
    Nvme,
    /// AHCI: /dev/sda
    Sata,
    /// virtio-scsi: /dev/sda
    Scsi,
    /// USB mass storage: /dev/sda
    Usb,
    /// An AHCI CD drive: /dev/sr0
    Cd,
}

/// A network card on a network of QEMU's own, which reaches the world through the host's sockets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Network {
    /// The card with options, in the syntax of `-device`; a virtio one unless given.
    pub card: Option<String>,
    /// The network, as `192.0.2.0/24`; 10.0.2.0/24 unless given. The gateway is .2 and the name server .3.
    pub subnet: Option<String>,
    /// The address that ports are forwarded to; unless given, the first of QEMU's DHCP, .15.
    pub guest: Option<Ipv4Addr>,
    /// Forwarded ports of the host's loopback.
    pub forwards: Vec<Forward>,
    /// The guest reaches nothing but QEMU.
    pub isolated: bool,
}

/// Where the first serial port goes. In each case QEMU also keeps it in a log file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsoleTo {
    /// The terminal, with QEMU's escape: Ctrl-A X leaves.
    Terminal,
    /// QEMU's stdin and stdout, for a [`crate::Vm`] that reads them.
    Pipe,
    /// Nothing but the log file.
    Log,
    /// A Unix socket that QEMU listens on.
    Socket(PathBuf),
}

/// What happens when the watchdog is not pinged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watchdog {
    /// The machine resets, as with hardware.
    Reset,
    /// QEMU exits.
    PowerOff,
}
