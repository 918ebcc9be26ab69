//! One look at the disks, and what follows from it. Any of this may wait for a disk, so it runs in a thread of its own.

use super::content;
use super::devices::{self, node};
use super::plan::{self, Device, Found, Place, Step, wanted};
use crate::{grow, tools};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::ffi::CStr;
use std::fs;
use std::io;
use std::path::Path;
use tare_config::machine::{Disk, Disks, FileSystem};

const SYS: &str = "/sys";
const DEV: &str = "/dev";
/// A folder of the state partition.
const ON_STATE: &str = "/srv";
/// Made at every boot, in one piece with all other links to disks: the one that the system runs from has such a link.
const LINKS: &str = "/dev/disk/by-path";

/// What a look has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is mounted.
    Mounted(Device),
    /// It is as it was when it was handled.
    Unchanged(Device),
    /// It is not there. Whether that can be told yet.
    Absent { settled: bool },
    /// Why it is not mounted.
    Refused(Option<Device>, String),
}

/// The disk `name` of `disks`.
#[derive(Debug, Clone)]
pub(super) struct Work {
    pub(super) name: String,
    pub(super) disks: Disks,
    pub(super) disk: Disk,
    /// The one that was mounted or refused before.
    pub(super) handled: Option<Device>,
}

impl Work {
    /// Finds the disk, and does with it what is to be done; `says` what takes long.
    pub(super) fn look(&self, says: &dyn Fn(String)) -> Outcome {
        let sys = Path::new(SYS);
        let Some(system) = devices::system(sys, Path::new(ON_STATE)) else {
            let why = "the disk that the system runs from is not known".to_owned();
            return Outcome::Refused(None, why);
        };
        let with_serials = self
            .disks
            .iter()
            .any(|(_, disk)| disk.r#match.serial.is_some());
        let found = devices::all(sys, Path::new(DEV), with_serials);
        match plan::find(&self.name, &self.disks, &found, &system) {
            Found::One(device) => match self.handled.as_ref().is_some_and(|old| device.is(old)) {
                true => {
                    self.grow(&device, says);
                    Outcome::Unchanged(device)
                }
                false => self.take(device, says),
            },
            Found::Nothing => {
                self.leave_gone();
                Outcome::Absent {
                    settled: !self.needs_links() || Path::new(LINKS).exists(),
                }
            }
            Found::Refused(why) => Outcome::Refused(None, why),
        }
    }

    fn needs_links(&self) -> bool {
        let path = self.disk.r#match.path.as_ref();
        self.disk.r#match.id.is_some()
            || path.is_some_and(|path| path.as_str().starts_with("/dev/disk/"))
    }

    fn take(&self, device: Device, says: &dyn Fn(String)) -> Outcome {
        self.leave_gone();
        match self.mount(&device, says) {
            Ok(()) => {
                self.grow(&device, says);
                Outcome::Mounted(device)
            }
            Err(why) => {
                let why = format!("{}: {why}", device.name);
                Outcome::Refused(Some(device), why)
            }
        }
    }

    /// Mounts `device` unless it is, and makes or checks its file system before.
    fn mount(&self, device: &Device, says: &dyn Fn(String)) -> Result<(), String> {
        let target = self.disk.mount.as_str();
        let mounts = devices::mounts().map_err(|error| error.to_string())?;
        match plan::place(target, device, &mounts) {
            Place::Taken => return Ok(()),
            Place::Refused(why) => return Err(why),
            Place::Free => {}
        }
        let path = node(device);
        says(format!("looking at {}", device.name));
        let content = content::of(&path).map_err(|error| error.to_string())?;
        let kind = match plan::step(&self.disk, content)? {
            Step::Format(kind) => {
                says(format!("formatting {} with {}", device.name, kind.name()));
                let label = self.disk.label.as_ref().map(|label| label.as_str());
                tools::make_second(&path, kind, label).map_err(|error| error.to_string())?;
                kind
            }
            Step::Check(kind) => {
                says(format!("checking {}", device.name));
                self.check(&path, kind)?;
                kind
            }
        };
        says(format!("mounting {}", device.name));
        attach(&path, kind, Path::new(target), self.disk.read_only)
            .map_err(|error| format!("mount {} on {target}: {error}", kind.name()))
    }

    /// XFS has no check of this kind: the kernel replays its log.
    fn check(&self, path: &Path, kind: FileSystem) -> Result<(), String> {
        if kind == FileSystem::Xfs || self.disk.read_only {
            return Ok(());
        }
        tools::preen(path).map_err(|error| {
            format!(
                "{error}; repair it with `tare toolbox -- e2fsck {}`",
                path.display()
            )
        })
    }

    /// Grows the file system if the disk has grown. One that does not grow is of use all the same.
    fn grow(&self, device: &Device, says: &dyn Fn(String)) {
        let target = self.disk.mount.as_str();
        let mounts = devices::mounts().unwrap_or_default();
        if self.disk.read_only || plan::place(target, device, &mounts) != Place::Taken {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let kind = fs::read_to_string("/proc/self/mountinfo")
            .ok()
            .and_then(|text| devices::file_system(&text, &device.number));
        let Some(kind) = kind else { return };
        let grown = open(target, flags, Mode::empty())
            .map_err(io::Error::from)
            .and_then(|root| grow::mounted(&node(device), root, kind));
        match grown {
            Ok(true) => says(format!(
                "{} has grown to the end of {}",
                kind.name(),
                device.name
            )),
            Ok(false) => {}
            Err(error) => says(format!("cannot grow {}: {error}", kind.name())),
        }
    }

    /// Detaches what is mounted from a disk that is not there any more, so that it can be mounted when it comes back.
    fn leave_gone(&self) {
        let target = self.disk.mount.as_str();
        let mounts = devices::mounts().unwrap_or_default();
        let Some(mount) = mounts.iter().rfind(|mount| mount.target == target) else {
            return;
        };
        // Numbers with major 0 are those of file systems without a disk.
        if mount.number.starts_with("0:") || devices::exists(Path::new(SYS), &mount.number) {
            return;
        }
        match unmount(target, UnmountFlags::DETACH) {
            Ok(()) => crate::say::warn(&format!("the disk on {target} has gone; unmounted it")),
            Err(error) => crate::say::warn(&format!("unmount {target}: {error}")),
        }
    }
}

/// Mounts the device `path`. A symbolic link on the way to `target` is not followed: users may make them.
fn attach(path: &Path, kind: FileSystem, target: &Path, read_only: bool) -> io::Result<()> {
    fs::create_dir_all(target)?;
    if fs::canonicalize(target)? != target {
        return Err(io::Error::other("a symbolic link is on the way"));
    }
    let mut flags = MountFlags::NOSUID | MountFlags::NODEV;
    flags.set(MountFlags::RDONLY, read_only);
    let options: Option<&CStr> = match kind {
        FileSystem::Ext4 => Some(c"errors=remount-ro"),
        FileSystem::Xfs => None,
    };
    Ok(mount(path, target, kind.name(), flags, options)?)
}

/// What a table looks for, if it is not there.
pub(super) fn absent(disk: &Disk) -> String {
    format!("no disk matches {}", wanted(disk))
}
