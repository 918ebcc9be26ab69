//! Links to devices by names that stay: `/dev/disk/by-id` and the like, as udev makes them.
//!
//! Only sysfs is read, never a disk: a disk that does not answer would delay the links of all others, and what it holds
//! is not to be parsed by root. Hence no `by-uuid` and no `by-label`. But the kernel itself asks some devices when their
//! attributes are read (`serial` of virtio), so a process of its own does it, not PID 1.
//!
//! Each run makes the folders match the devices that are present, so nothing depends on the order of events, or on an
//! event that was missed. The names are those of systemd 257: `rules.d/60-serial.rules`,
//! `rules.d/60-persistent-storage.rules`.

mod disk;
mod folder;
mod name;
mod path;
mod scsi;
mod serial;
mod sysfs;
#[cfg(test)]
mod tests;
mod usb;

use crate::effect::pidfd;
use crate::kmsg;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

/// The name under which our executable makes links.
pub(crate) const NAME: &str = "tare-links";

/// A folder of links, below `/dev`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Folder {
    SerialById,
    SerialByPath,
    DiskById,
    DiskByPath,
    DiskByPartUuid,
    DiskByPartLabel,
}

impl Folder {
    const SERIAL: [Self; 2] = [Self::SerialById, Self::SerialByPath];
    const DISK: [Self; 4] = [
        Self::DiskById,
        Self::DiskByPath,
        Self::DiskByPartUuid,
        Self::DiskByPartLabel,
    ];

    /// Its path, two components long.
    fn path(self) -> [&'static str; 2] {
        match self {
            Self::SerialById => ["serial", "by-id"],
            Self::SerialByPath => ["serial", "by-path"],
            Self::DiskById => ["disk", "by-id"],
            Self::DiskByPath => ["disk", "by-path"],
            Self::DiskByPartUuid => ["disk", "by-partuuid"],
            Self::DiskByPartLabel => ["disk", "by-partlabel"],
        }
    }
}

/// A link to `/dev/NODE`.
#[derive(Debug, PartialEq, Eq)]
struct Link {
    folder: Folder,
    name: String,
    node: String,
}

/// The links to make. Of several with one name, the first counts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Links(Vec<Link>);

impl Links {
    /// Adds a link to `/dev/NODE`. A name that is no name of a single file is dropped: devices and partition tables
    /// choose them.
    fn add(&mut self, folder: Folder, name: String, node: &str) {
        if name::is_file_name(&name) {
            let node = node.to_owned();
            self.0.push(Link { folder, name, node });
        }
    }
}

/// Whether events of a device concern links, by its subsystem and its name below `/dev`.
pub(crate) fn concern(subsystem: &str, node: &str) -> bool {
    match subsystem {
        "tty" => serial::is_adapter(node),
        "block" => disk::is_disk(node),
        _ => false,
    }
}

/// Starts a process that makes all links match the devices that are present, and returns its pidfd. The process is reaped
/// with the orphans.
pub(crate) fn start() -> io::Result<OwnedFd> {
    pidfd::spawn(Command::new("/proc/self/exe").arg0(NAME))
}

/// The main function of that process.
pub(crate) fn main() -> ExitCode {
    // If this fails, there is nowhere to report it.
    let _ = kmsg::init();
    let failures = update(Path::new("/sys"), Path::new("/dev"));
    failures.iter().for_each(|failure| log::error!("{failure}"));
    match failures.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Serial adapters first: a disk may not answer. Returns a sentence for each folder that could not be brought up to date.
fn update(sys: &Path, dev: &Path) -> Vec<String> {
    let mut failures = folder::apply(dev, &Folder::SERIAL, &serial::links(sys));
    failures.extend(folder::apply(dev, &Folder::DISK, &disk::links(sys)));
    failures
}
