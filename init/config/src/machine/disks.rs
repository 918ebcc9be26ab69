//! Disks beside the one that the system runs from.

use super::FilePath;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The section `[disks]`: disks by name. No two are mounted at the same place, or one below the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Disks(BTreeMap<String, Disk>);

impl Disks {
    /// Names and disks, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Disk)> {
        self.0.iter().map(|(name, disk)| (name.as_str(), disk))
    }

    /// The disk called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Disk> {
        self.0.get(name)
    }
}

impl<'de> Deserialize<'de> for Disks {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(Disks::default())
    }
}

impl<'de> Visitor<'de> for Disks {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key::<String>()? {
            let disk = map.next_value_seed(Beside {
                name: &name,
                others: &self,
            })?;
            self.0.insert(name, disk);
        }
        Ok(self)
    }
}

/// A disk that fits those before it. What is wrong has the place of its table.
struct Beside<'a> {
    name: &'a str,
    others: &'a Disks,
}

impl<'de> DeserializeSeed<'de> for Beside<'_> {
    type Value = Disk;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Disk, D::Error> {
        let disk = Disk::deserialize(from)?;
        disk.check().map_err(D::Error::custom)?;
        let mut others = self.others.iter();
        match others.find(|(_, other)| disk.mount.meets(&other.mount)) {
            Some((other, with)) => Err(D::Error::custom(format!(
                "{} of disks.{other} and {} of disks.{} are in each other's way",
                with.mount, disk.mount, self.name
            ))),
            None => Ok(disk),
        }
    }
}

/// A disk or a partition: which one, what is on it, and where it is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", schemars(extend(
    "examples" = [{ "match": { "serial": "S3Z9NB0K" }, "mount": "/srv/data" }],
)))]
pub struct Disk {
    /// Which disk it is. Several keys must all hold; one disk must be left.
    pub r#match: Match,
    /// The file system that is made if the disk is blank, and that it must have otherwise. Without it, nothing is made,
    /// and either will do.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["ext4"],
        "x-tare-default" = "none",
    )))]
    pub format: Option<FileSystem>,
    /// The label that the file system gets when it is made, and that it must have otherwise: 16 letters, digits, `.`,
    /// `_` or `-` at most, 12 for XFS.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["data"],
        "x-tare-default" = "none",
    )))]
    pub label: Option<DiskLabel>,
    /// Where services, containers and logins see it: a path below `/data`, `/home`, `/mnt`, `/opt` or `/srv`.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["/srv/data"],
        "x-tare-default" = "none: it must be set",
    )))]
    pub mount: MountPoint,
    /// Whether nothing may be written to it.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [true])))]
    pub read_only: bool,
    /// Whether the engine waits a minute for it if it is not there.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [true])))]
    pub required: bool,
}

impl Disk {
    fn check(&self) -> Result<(), String> {
        let label = self.label.as_ref().map_or("", |label| &label.0);
        if self.r#match == Match::default() {
            return Err("match must name at least one of id, path, serial, size".to_owned());
        }
        if self.format == Some(FileSystem::Xfs) && label.len() > 12 {
            return Err(format!(
                "label must have at most 12 bytes for xfs, `{label}` has {}",
                label.len()
            ));
        }
        Ok(())
    }
}

/// What a disk is known by. All that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[cfg_attr(feature = "schema", schemars(extend("anyOf" = [
    { "required": ["id"] },
    { "required": ["path"] },
    { "required": ["serial"] },
    { "required": ["size"] },
])))]
pub struct Match {
    /// Its name in `/dev/disk/by-id`, of the whole disk or of a partition.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["ata-ACME_SSD_S3Z9NB0K"],
        "x-tare-default" = "any",
    )))]
    pub id: Option<DiskId>,
    /// Its path, of the whole disk or of a partition.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["/dev/disk/by-path/pci-0000:00:1f.2-ata-2"],
        "x-tare-default" = "any",
    )))]
    pub path: Option<DevicePath>,
    /// Its serial number. Only whole disks have one.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["S3Z9NB0K"],
        "x-tare-default" = "any",
    )))]
    pub serial: Option<Serial>,
    /// How large it is, at least or at most.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [">=100GB"],
        "x-tare-default" = "any",
    )))]
    pub size: Option<SizeBound>,
}

/// File systems that are made, checked and grown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FileSystem {
    /// The one that can also be made smaller.
    Ext4,
    /// The one for large files.
    Xfs,
}

impl FileSystem {
    /// The kernel's name for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        }
    }
}

/// A type that is written as text that `$check` accepts.
macro_rules! text {
    ($(#[$doc:meta])* $type:ident, $check:expr, $refuse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// As it was written.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let accepts: fn(&str) -> bool = $check;
                match accepts(&text) {
                    true => Ok(Self(text)),
                    false => Err(format!("`{text}` {}", $refuse)),
                }
            }
        }

        impl From<$type> for String {
            fn from(text: $type) -> Self {
                text.0
            }
        }
    };
}

text!(
    /// A name in `/dev/disk/by-id`.
    DiskId,
    is_name,
    "is not a name in /dev/disk/by-id: write it without the path, as in `ata-ACME_SSD_S3Z9NB0K`"
);
text!(
    /// A path below `/dev`.
    DevicePath,
    |path| path
        .strip_prefix("/dev/")
        .is_some_and(|below| path.len() <= 1024 && below.split('/').all(is_name)),
    "is not the path of a disk: write one below /dev, as in `/dev/disk/by-path/pci-0000:00:1f.2-ata-2`"
);
text!(
    /// A serial number.
    Serial,
    |serial| (1..=128).contains(&serial.len())
        && serial.chars().all(|c| c.is_ascii_graphic() || c == ' ')
        && serial.trim() == serial,
    "is not a serial number: write it as `lsblk -o +SERIAL` shows it"
);
text!(
    /// The label of a file system.
    DiskLabel,
    |label| (1..=16).contains(&label.len())
        && label.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)),
    "is not a label: write letters, digits, `.`, `_` or `-`, 16 at most"
);
text!(
    /// `>=100GB`, `<=2TiB`.
    SizeBound,
    |text| bound(text).is_some(),
    "is not a bound of size: write `>=` or `<=`, a whole number and MB, GB, TB, MiB, GiB or TiB, as in `>=100GB`"
);

/// A name of a file, as udev makes them.
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && ![".", ".."].contains(&name)
        && name.chars().all(|c| c.is_ascii_graphic() && c != '/')
}

impl SizeBound {
    /// Whether a disk of so many bytes is meant.
    #[must_use]
    pub fn holds(&self, bytes: u64) -> bool {
        match bound(&self.0) {
            Some((Limit::Least, limit)) => bytes >= limit,
            Some((Limit::Most, limit)) => bytes <= limit,
            None => false,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Limit {
    Least,
    Most,
}

/// Disks are sold in decimal units.
const UNITS: [(&str, u64); 6] = [
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

fn bound(text: &str) -> Option<(Limit, u64)> {
    let (limit, size) = match text.get(..2)? {
        ">=" => (Limit::Least, &text[2..]),
        "<=" => (Limit::Most, &text[2..]),
        _ => return None,
    };
    let digits = size.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = size.split_at(digits);
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let bytes = number.parse::<u64>().ok()?.checked_mul(*bytes)?;
    Some((limit, bytes))
}

/// Where a disk is mounted: below a folder that services, containers and logins see under the same name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct MountPoint(String);

impl MountPoint {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether one is the other, or below it.
    fn meets(&self, other: &Self) -> bool {
        let below = |a: &str, b: &str| {
            a.strip_prefix(b)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        below(&self.0, &other.0) || below(&other.0, &self.0)
    }
}

impl fmt::Display for MountPoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for MountPoint {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        const FOLDERS: [&str; 5] = ["data", "home", "mnt", "opt", "srv"];
        let fits = FilePath::try_from(path.clone()).is_ok_and(|file| FOLDERS.contains(&file.top()));
        match fits {
            true => Ok(Self(path)),
            false => Err(format!(
                "`{path}` is not a place for a disk: write a path below {}, without `.`, `..` and `//`",
                FOLDERS.map(|folder| format!("/{folder}")).join(", ")
            )),
        }
    }
}

impl From<MountPoint> for String {
    fn from(path: MountPoint) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    #[test]
    fn bounds_of_size() {
        for (text, bytes, want) in [
            (">=100GB", 100_000_000_000, Some(true)),
            (">=100GB", 99_999_999_999, Some(false)),
            ("<=1GiB", 1 << 30, Some(true)),
            ("<=1GiB", (1 << 30) + 1, Some(false)),
            (">=2TiB", 2 << 40, Some(true)),
            ("100GB", 0, None),
            (">= 100GB", 0, None),
            (">=GB", 0, None),
            (">=1kB", 0, None),
            (">=99999999999999999999GB", 0, None),
            ("≥100GB", 0, None),
        ] {
            let bound = SizeBound::try_from(text.to_owned()).ok();
            assert_eq!(bound.map(|bound| bound.holds(bytes)), want, "{text}");
        }
    }

    #[test]
    fn mount_points_are_where_containers_see_them() {
        for (path, fits) in [
            ("/srv/data", true),
            ("/data/a/b", true),
            ("/home/alice", true),
            ("/srv", false),
            ("/srv/", false),
            ("/root/x", false),
            ("/etc/x", false),
            ("/srv/../etc", false),
            ("srv/x", false),
        ] {
            assert_eq!(
                MountPoint::try_from(path.to_owned()).is_ok(),
                fits,
                "{path}"
            );
        }
    }

    #[test]
    fn disks_are_not_in_each_others_way() {
        for (a, b, want) in [
            ("/srv/a", "/srv/ab", None),
            (
                "/srv/a",
                "/srv/a",
                Some("/srv/a of disks.a and /srv/a of disks.b are in each other's way"),
            ),
            (
                "/srv/a/b",
                "/srv/a",
                Some("/srv/a/b of disks.a and /srv/a of disks.b are in each other's way"),
            ),
        ] {
            let disk = |name, mount| {
                format!("[disks.{name}]\nmatch.serial = '{name}'\nmount = '{mount}'\n")
            };
            let read = toml::from_str::<Machine>(&(disk("a", a) + &disk("b", b)));
            let error = read.err().map(|error| error.message().to_owned());
            assert_eq!(error.as_deref(), want);
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "[disks.data]\nmatch = { serial = 'A', size = '>=1GB' }\nformat = 'xfs'\n\
                    label = 'data'\nmount = '/srv/data'\nrequired = true";
        let machine: Machine = toml::from_str(text).unwrap();
        let again: Machine = toml::from_str(&toml::to_string(&machine).unwrap()).unwrap();
        assert_eq!(again.disks, machine.disks);
    }
}
