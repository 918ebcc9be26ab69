//! Which disk a table means, and what to do with it. Nothing here looks at the machine.

use std::collections::BTreeSet;
use tare_config::machine::{Disk, Disks, FileSystem, Match};

/// A disk or a partition, as sysfs and `/dev` show it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Device {
    /// The kernel's name: `vdb`, `vdb1`.
    pub(crate) name: String,
    /// Its number, as `major:minor`.
    pub(crate) number: String,
    /// The disk that it is a partition of; its own name if it is a disk.
    pub(crate) disk: String,
    pub(crate) bytes: u64,
    /// The serial numbers of the disk: behind a USB bridge, that of the bridge too.
    pub(crate) serials: Vec<String>,
    /// The kernel's count of disks when it came: another one under the same name has another.
    pub(crate) sequence: String,
    /// Its paths below `/dev`.
    pub(crate) paths: BTreeSet<String>,
    /// Devices that are made of it: LVM, LUKS, RAID.
    pub(crate) holders: Vec<String>,
    pub(crate) partitions: Vec<String>,
}

impl Device {
    fn is_partition(&self) -> bool {
        self.name != self.disk
    }

    /// Whether it is the one that `other` was.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (&self.name, &self.number, &self.sequence) == (&other.name, &other.number, &other.sequence)
    }
}

/// What is mounted somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mounted {
    /// The number of the device.
    pub(crate) number: String,
    pub(crate) target: String,
}

/// The disk that a table means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// None that is there.
    Nothing,
    One(Device),
    /// Why none is used.
    Refused(String),
}

/// The one of `devices` that the table `name` of `disks` means. The system's own disks are `system`.
pub(crate) fn find(
    name: &str,
    disks: &Disks,
    devices: &[Device],
    system: &BTreeSet<String>,
) -> Found {
    let Some(disk) = disks.get(name) else {
        return Found::Nothing;
    };
    let meant: Vec<&Device> = meant(&disk.r#match, devices).collect();
    let (own, other): (Vec<&Device>, Vec<&Device>) = meant
        .into_iter()
        .partition(|device| system.contains(&device.disk));
    match (&other[..], &own[..]) {
        ([], []) => Found::Nothing,
        ([], [own, ..]) => Found::Refused(format!(
            "{} is of the disk that the system runs from",
            own.name
        )),
        ([device], _) => alone(name, disks, device),
        (several, _) => {
            let names: Vec<&str> = several.iter().map(|device| device.name.as_str()).collect();
            Found::Refused(format!(
                "{} match: add keys to `match` until only one does",
                names.join(" and ")
            ))
        }
    }
}

/// The only device that the table `name` means, unless another table means it too, or it is in use.
fn alone(name: &str, disks: &Disks, device: &Device) -> Found {
    let also = |(other, disk): &(&str, &Disk)| {
        *other != name
            && meant(&disk.r#match, std::slice::from_ref(device))
                .next()
                .is_some()
    };
    if let Some((other, _)) = disks.iter().find(also) {
        return Found::Refused(format!("{} matches disks.{other} too", device.name));
    }
    if !device.holders.is_empty() {
        return Found::Refused(format!(
            "{} is in use by {}",
            device.name,
            device.holders.join(", ")
        ));
    }
    if !device.partitions.is_empty() {
        return Found::Refused(format!(
            "{} has partitions: match one of {} by its id or path",
            device.name,
            device.partitions.join(", ")
        ));
    }
    Found::One(device.clone())
}

/// The devices that `wanted` means. A partition is meant only by its own name.
fn meant<'a>(wanted: &Match, devices: &'a [Device]) -> impl Iterator<Item = &'a Device> {
    let Match {
        id,
        path,
        serial,
        size,
    } = wanted.clone();
    let named = id.is_some() || path.is_some();
    let id = id.map(|id| format!("/dev/disk/by-id/{}", id.as_str()));
    devices.iter().filter(move |device| {
        let has_path = |path: &str| device.paths.contains(path);
        let has_serial = |serial: &str| device.serials.iter().any(|own| own == serial);
        // A reader without a card has no bytes.
        device.bytes > 0
            && (named || !device.is_partition())
            && id.as_deref().is_none_or(has_path)
            && path.as_ref().is_none_or(|path| has_path(path.as_str()))
            && serial
                .as_ref()
                .is_none_or(|serial| has_serial(serial.as_str()))
            && size.as_ref().is_none_or(|size| size.holds(device.bytes))
    })
}

/// In words, what a table looks for.
pub(crate) fn wanted(disk: &Disk) -> String {
    let Match {
        id,
        path,
        serial,
        size,
    } = &disk.r#match;
    let keys = [
        ("id", id.as_ref().map(|id| id.as_str())),
        ("path", path.as_ref().map(|path| path.as_str())),
        ("serial", serial.as_ref().map(|serial| serial.as_str())),
        ("size", size.as_ref().map(|size| size.as_str())),
    ];
    let given = keys.into_iter();
    let given = given.filter_map(|(key, value)| Some(format!("{key} {}", value?)));
    given.collect::<Vec<_>>().join(", ")
}

/// Whether a disk is where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// Nothing is mounted there.
    Free,
    /// It is.
    Taken,
    /// Why it cannot be mounted there.
    Refused(String),
}

/// Where `device` is, which belongs to `target`.
pub(crate) fn place(target: &str, device: &Device, mounts: &[Mounted]) -> Place {
    // Of several at one place, the last one hides the others.
    let at_target = mounts.iter().rfind(|mount| mount.target == target);
    match at_target {
        Some(mount) if mount.number == device.number => return Place::Taken,
        Some(_) => {
            return Place::Refused(format!("another file system is mounted on {target}"));
        }
        None => {}
    }
    match mounts.iter().find(|mount| mount.number == device.number) {
        Some(mount) => Place::Refused(format!(
            "{} stays mounted on {} until the next boot",
            device.name, mount.target
        )),
        None => Place::Free,
    }
}

/// What a device holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nothing that is known, and zeros where file systems begin.
    Blank,
    FileSystem {
        kind: FileSystem,
        /// Empty if it has none.
        label: String,
    },
    /// Anything else, in words.
    Other(String),
}

/// What comes before the mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Make the file system.
    Format(FileSystem),
    /// Check the one that is there.
    Check(FileSystem),
}

/// What to do with a device that holds `content` and that the table `disk` means.
///
/// # Errors
/// Why it is left alone.
pub(crate) fn step(disk: &Disk, content: Content) -> Result<Step, String> {
    let label = disk.label.as_ref().map(|label| label.as_str());
    match content {
        Content::Blank if disk.read_only => Err("blank, and read-only".to_owned()),
        Content::Blank => disk
            .format
            .map(Step::Format)
            .ok_or_else(|| "blank, and `format` is not set".to_owned()),
        Content::FileSystem { kind, .. } if disk.format.is_some_and(|format| format != kind) => {
            let format = disk.format.map_or("", FileSystem::name);
            Err(format!(
                "holds {}, not {format}; refusing to touch it",
                kind.name()
            ))
        }
        Content::FileSystem { kind, label: own } => match label {
            Some(label) if label != own => Err(format!(
                "holds {} labelled \"{own}\", not \"{label}\"; refusing to touch it",
                kind.name()
            )),
            _ => Ok(Step::Check(kind)),
        },
        Content::Other(what) => Err(format!("holds {what}; refusing to touch it")),
    }
}

#[cfg(test)]
mod tests;
