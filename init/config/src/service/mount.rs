//! A service's mounts in addition to its root filesystem.

use crate::Bytes;
use serde::{Deserialize, Serialize};

/// One mount of a service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "RawMount", into = "RawMount")]
pub struct Mount {
    /// Where its contents come from.
    pub source: Source,
    /// Absolute path in the container.
    pub target: String,
    /// Whether the service may not write to it.
    pub read_only: bool,
    /// Whether mounts below it propagate between host and container.
    pub propagation: Propagation,
    /// A group that may also read the volume or shared directory where other services mount it.
    pub group: Option<u32>,
    /// Permissions with which the volume or shared directory is created, written in octal. By default, a volume is for
    /// its user only, and a shared directory may be read by all.
    pub mode: Option<u32>,
}

/// Where the contents of a mount come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A directory of this name on the state partition, kept across reboots and updates.
    Volume(String),
    /// A directory of this name that is shared by the services that name it and gone at power off.
    Shared(String),
    /// A path of the host.
    Host(String),
    /// A tmpfs of its own, at most this large.
    Tmpfs(Bytes),
}

/// The propagation types of `mount_namespaces(7)` that a service may choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    /// Nothing propagates.
    #[default]
    Private,
    /// From the host to the container.
    Slave,
    /// Both ways.
    Shared,
}

/// A mount as written: exactly one of the four sources.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawMount {
    #[serde(skip_serializing_if = "Option::is_none")]
    volume: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shared: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tmpfs: Option<Bytes>,
    target: String,
    #[serde(default)]
    read_only: bool,
    #[serde(default)]
    propagation: Propagation,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<String>,
}

impl TryFrom<RawMount> for Mount {
    type Error = String;

    fn try_from(raw: RawMount) -> Result<Self, String> {
        let target = absolute(raw.target)?;
        let source = match (raw.volume, raw.shared, raw.host, raw.tmpfs) {
            (Some(name), None, None, None) => Source::Volume(single_name(name)?),
            (None, Some(name), None, None) => Source::Shared(single_name(name)?),
            (None, None, Some(path), None) => Source::Host(absolute(path)?),
            (None, None, None, Some(size)) => Source::Tmpfs(size),
            _ => {
                return Err(format!(
                    "mount on {target} must name exactly one of volume, shared, host, tmpfs"
                ));
            }
        };
        let owned = matches!(source, Source::Volume(_) | Source::Shared(_));
        if !owned && (raw.group.is_some() || raw.mode.is_some()) {
            return Err(format!(
                "mount on {target}: only a volume or a shared directory has a group or a mode"
            ));
        }
        let mode = raw
            .mode
            .map(|mode| permissions(&mode, 0o1777))
            .transpose()?;
        Ok(Self {
            source,
            target,
            read_only: raw.read_only,
            propagation: raw.propagation,
            group: raw.group,
            mode,
        })
    }
}

impl From<Mount> for RawMount {
    fn from(mount: Mount) -> Self {
        let mut raw = Self {
            volume: None,
            shared: None,
            host: None,
            tmpfs: None,
            target: mount.target,
            read_only: mount.read_only,
            propagation: mount.propagation,
            group: mount.group,
            mode: mount.mode.map(|mode| format!("{mode:04o}")),
        };
        match mount.source {
            Source::Volume(name) => raw.volume = Some(name),
            Source::Shared(name) => raw.shared = Some(name),
            Source::Host(path) => raw.host = Some(path),
            Source::Tmpfs(size) => raw.tmpfs = Some(size),
        }
        raw
    }
}

/// An absolute path without `..`, so that it stays where it points.
pub(super) fn absolute(path: String) -> Result<String, String> {
    if path.starts_with('/') && !path.split('/').any(|part| part == "..") {
        return Ok(path);
    }
    Err(format!("`{path}` must be an absolute path without `..`"))
}

/// Permissions written in octal, `most` at most.
pub(super) fn permissions(text: &str, most: u32) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| mode & !most == 0)
        .ok_or_else(|| format!("`{text}` are no permissions: write them as in `0660`"))
}

fn single_name(name: String) -> Result<String, String> {
    crate::text::name(&name).map(|()| name)
}
