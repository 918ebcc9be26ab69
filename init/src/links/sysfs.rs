//! Devices in sysfs.

use crate::effect::files::read_bounded;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The longest attribute, in bytes: a page.
const LONGEST: usize = 4096;

/// A device: a folder below `/sys/devices`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Device(PathBuf);

impl Device {
    /// The devices of a class, in the order of their names.
    pub(super) fn of_class(sys: &Path, class: &str) -> Vec<Self> {
        let folder = sys.join("class").join(class);
        let names = names_in(&folder).into_iter();
        // Skips a device that has disappeared meanwhile.
        let paths = names.filter_map(|name| fs::canonicalize(folder.join(name)).ok());
        paths.map(Self).collect()
    }

    /// The kernel's name.
    pub(super) fn name(&self) -> String {
        let name = self.0.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// An attribute's text up to its first zero byte, without white space at its end; `None` if it is not there, or
    /// empty.
    pub(super) fn attribute(&self, name: &str) -> Option<Vec<u8>> {
        let bytes = self.binary(name)?;
        let text = bytes.split(|byte| *byte == 0).next()?.trim_ascii_end();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// An attribute that the kernel itself writes, such as a number.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        String::from_utf8(self.attribute(name)?).ok()
    }

    /// An attribute as it is.
    pub(super) fn binary(&self, name: &str) -> Option<Vec<u8>> {
        read_bounded(&self.0.join(name), LONGEST).ok()
    }

    /// The attribute of the device, or of the nearest ancestor that has one.
    pub(super) fn inherited(&self, name: &str) -> Option<Vec<u8>> {
        let line = self.line();
        line.iter().find_map(|device| device.attribute(name))
    }

    /// What the kernel says of it in its events.
    pub(super) fn property(&self, key: &str) -> Option<String> {
        let text = self.binary("uevent")?;
        let text = String::from_utf8_lossy(&text);
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        values.next().map(ToOwned::to_owned)
    }

    pub(super) fn subsystem(&self) -> Option<String> {
        let link = fs::read_link(self.0.join("subsystem")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    }

    /// Whether it is in this subsystem, with this `DEVTYPE`.
    pub(super) fn is(&self, subsystem: &str, kind: &str) -> bool {
        self.subsystem().as_deref() == Some(subsystem)
            && self.property("DEVTYPE").as_deref() == Some(kind)
    }

    /// The device and its ancestors. Folders without a `uevent` only group devices.
    pub(super) fn line(&self) -> Vec<Self> {
        let paths = self.0.ancestors();
        let devices = paths.filter(|path| path.join("uevent").exists());
        devices.map(|path| Self(path.to_owned())).collect()
    }

    pub(super) fn parent(&self) -> Option<Self> {
        self.line().into_iter().nth(1)
    }

    /// The nearest of the device and its ancestors that is in this subsystem, with this `DEVTYPE`.
    pub(super) fn nearest(&self, subsystem: &str, kind: &str) -> Option<Self> {
        let mut line = self.line().into_iter();
        line.find(|device| device.is(subsystem, kind))
    }

    /// What is in its folder: partitions, among others.
    pub(super) fn children(&self) -> Vec<Self> {
        let names = names_in(&self.0).into_iter();
        names.map(|name| Self(self.0.join(name))).collect()
    }

    /// The path in sysfs.
    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

/// The names of what is in a folder, in their order.
pub(super) fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}
