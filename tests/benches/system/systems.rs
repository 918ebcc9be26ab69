//! The systems that are compared, as machines to be booted.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::ValueEnum;
use tare_image::Image;
use tare_image::apt::Apt;
use tare_image::progress::Progress;
use tare_qemu::{Base, Builder, Key, Machine, Vm, secs};

use crate::debian::Debian;
use crate::disk;
use crate::floor;
use crate::tools::Tools;

/// Which system; in the order of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum)]
pub(crate) enum Name {
    /// Tare, its kernel loaded by QEMU.
    Tare,
    /// Tare, started by firmware as on a real machine.
    TareUefi,
    /// Debian with systemd, OpenSSH and Docker.
    Debian,
    /// The same packages under a shell script.
    Floor,
}

impl Name {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Tare, Self::TareUefi, Self::Debian, Self::Floor];

    /// Its name in the report.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Tare => "Tare",
            Self::TareUefi => "Tare, UEFI",
            Self::Debian => "Debian",
            Self::Floor => "floor",
        }
    }

    /// What PID 1's first line on the console contains.
    pub(crate) fn first_words(self) -> &'static str {
        match self {
            Self::Tare | Self::TareUefi => "tare: ",
            Self::Debian => "Welcome to",
            Self::Floor => floor::FIRST_WORDS,
        }
    }

    /// Asks it to power off, by the means it supports.
    ///
    /// # Errors
    /// QEMU is gone.
    pub(crate) fn request_power_off(self, vm: &Vm) -> Result<()> {
        match self {
            // A script cannot receive the power button.
            Self::Floor => vm.ctrl_alt_del(),
            _ => vm.power_button(),
        }
    }
}

/// The parameters of Tare's command line that change what is written while booting; all systems get them.
const CONSOLE: &str = "console=tty0 console=ttyS0,115200 loglevel=6";
/// The size of Tare's disk, the same as the others'; the state partition grows to its end.
const DISK_SIZE: u64 = disk::SIZE;
/// A machine without apps, like the others.
const USER_DATA: &str = "hostname = \"bench\"\n";
/// What the peers write at every boot without being in trouble.
const TOLERATED: &[&str] = &["WARNING:"];

/// Everything needed to make the machines.
#[derive(Debug)]
pub(crate) struct Systems {
    /// Tare's image.
    pub(crate) tare: Base,
    /// Debian's packages, kernel and disk.
    pub(crate) debian: Debian,
    /// The floor's disk, with Tare's kernel.
    pub(crate) floor: Base,
    /// A package with one static program, which `docker run` runs.
    pub(crate) busybox: PathBuf,
    /// Programs from trixie.
    pub(crate) tools: Tools,
    key: Key,
}

impl Systems {
    /// Builds the peers' disks, or finds them in `cache`.
    ///
    /// # Errors
    /// A stage fails.
    pub(crate) fn make(image: &Image, cache: &Path, progress: &Progress) -> Result<Self> {
        let key = Key::ensure(&cache.join("ssh"))?;
        progress.stage("peers", |stage| {
            let root = tare_image::cache::root()?;
            let apt = Apt::open(&root, stage)?;
            let tools = Tools::open(cache, &apt, stage)?;
            let debian = Debian::make(cache, &apt, &tools, &key, stage)?;
            let (disk, busybox) = floor::disk(cache, &apt, &debian, &tools, &key, stage)?;
            let floor = disk::base(disk, &image.kernel, None, &floor::cmdline());
            Ok(Self {
                tare: Base::from(image),
                debian,
                floor,
                busybox,
                tools,
                key,
            })
        })
    }

    /// A new machine with a disk never booted before.
    ///
    /// # Errors
    /// Its files cannot be made.
    pub(crate) fn machine(&self, name: Name) -> Result<Machine> {
        self.builder(name).machine()
    }

    /// The same, not yet made.
    pub(crate) fn builder(&self, name: Name) -> Builder {
        let base = match name {
            Name::Tare | Name::TareUefi => &self.tare,
            Name::Debian => &self.debian.base,
            Name::Floor => &self.floor,
        };
        let builder = Vm::of(base.clone()).key(self.key.clone()).parallel();
        match name {
            Name::Tare => builder.direct().disk_size(DISK_SIZE).user_data(USER_DATA),
            Name::TareUefi => builder.disk_size(DISK_SIZE).user_data(USER_DATA),
            Name::Debian | Name::Floor => tolerant(builder.direct()),
        }
    }

    /// A machine booted from `base`, a Tare image, with `memory` MiB and additional user-data.
    ///
    /// # Errors
    /// The machine does not come up.
    pub(crate) fn tare_with(&self, base: &Base, memory: u32, user_data: &str) -> Result<Vm> {
        let builder = Vm::of(base.clone())
            .key(self.key.clone())
            .parallel()
            .direct();
        let vm = builder
            .disk_size(DISK_SIZE)
            .memory(memory)
            .user_data(&format!("{USER_DATA}{user_data}"))
            .boot()?;
        vm.wait_ssh(secs(60))?;
        Ok(vm)
    }
}

fn tolerant(builder: Builder) -> Builder {
    TOLERATED
        .iter()
        .fold(builder, |builder, pattern| builder.tolerate(pattern))
}

/// The command line of a system with its root on the first disk, without partitions.
pub(crate) fn peer_cmdline(words: &str) -> String {
    format!("root=/dev/vda rw {CONSOLE} {words}")
}
