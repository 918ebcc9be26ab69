//! A service: its image, process, sandbox, mounts, lifecycle and resources.
//!
//! One schema for the built-in services (`system-services/NAME/service.toml`) and, in part ([`crate::Override`]), for
//! what user-data may change about them.

mod check;
mod condition;
mod lifecycle;
mod mount;
mod probe;
pub(crate) mod program;
pub(crate) mod range;
mod restart;
mod sandbox;
mod schedule;
mod socket;

pub use check::{Services, check, check_in, cycle};
pub use condition::Condition;
pub use lifecycle::{Kind, Lifecycle, Start, Stop, StopSignal};
pub use mount::{Mount, Propagation, Source};
pub use probe::{Health, HttpTarget, Probe, Ready};
#[cfg(feature = "schema")]
pub(crate) use program::LONGEST as MAX_ARGUMENT;
pub use restart::{Backoff, Limit, LimitThen, Restart, RestartPolicy};
pub use sandbox::{CAPABILITIES, Capability, Namespace, Proc, Sandbox, SeccompProfile, Sys};
#[cfg(feature = "schema")]
pub(crate) use schedule::{CALENDAR_WORDS, WEEKDAYS};
pub use schedule::{Calendar, Schedule};
pub use socket::{Socket, SocketAddress, SocketType};

use crate::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A service as `service.toml` describes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// A one-line description.
    pub description: String,
    /// False keeps the service from ever starting.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Dotted key of the machine's configuration. The service does not start unless it is set.
    #[serde(default)]
    pub enabled_with: Option<String>,
    /// Dotted key of a table of the machine's configuration. There is an instance of the service for each key of that
    /// table, called `NAME.KEY`, with `KEY` as its last argument.
    #[serde(default)]
    pub for_each: Option<String>,
    /// What its root filesystem is made of.
    #[serde(default)]
    pub image: Image,
    /// The program that runs in it.
    pub process: Process,
    /// Environment of the process, in addition to `PATH`, `HOME` and what its lifecycle needs (`NOTIFY_SOCKET`).
    #[serde(default, deserialize_with = "program::environment")]
    pub environment: BTreeMap<String, String>,
    /// What isolates it from the host. Everything not named is denied.
    #[serde(default)]
    pub sandbox: Sandbox,
    /// Mounts in addition to its root filesystem.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Sockets that PID 1 holds for it and passes as descriptors 3 and up.
    #[serde(default)]
    pub sockets: Vec<Socket>,
    /// When it starts, becomes ready, restarts and stops.
    #[serde(default)]
    pub lifecycle: Lifecycle,
    /// Its resource limits.
    #[serde(default)]
    pub resources: Resources,
}

/// What a service's root filesystem is made of. Only the image builder reads this.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Image {
    /// Debian binary packages; apt adds their dependencies.
    pub packages: Vec<String>,
    /// Packages that apt treats as installed, so that they and the dependencies that only they need are left out.
    pub assume_installed: Vec<String>,
    /// Binaries of this workspace, placed in `/usr/bin`.
    pub binaries: Vec<String>,
    /// Use the root filesystem of this other service instead.
    pub from: Option<String>,
    /// Absolute paths (files or whole directories) left out of the root filesystem.
    pub remove: Vec<String>,
}

/// What runs in a service's container.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Process {
    /// Program (absolute path) and its arguments.
    #[serde(deserialize_with = "program::args")]
    pub args: Vec<String>,
    /// A user in the root filesystem's `/etc/passwd`.
    #[serde(default = "root")]
    pub user: String,
    /// The directory that the process starts in.
    #[serde(default = "slash")]
    pub working_directory: String,
    /// Capabilities it keeps: as root, bounding, permitted and effective; as any other user, inheritable and ambient too.
    #[serde(default)]
    pub capabilities: Vec<Capability>,
    /// Top-level sections of the machine's configuration it may read, as `/run/config/SECTION.json`.
    #[serde(default)]
    pub config: Vec<String>,
    /// Whether it has a `syslog(3)` socket at `/dev/log`. Standard output and error need none.
    #[serde(default)]
    pub log_socket: bool,
    /// True for the service that receives the output of all others on descriptor 3.
    #[serde(default)]
    pub collects_output: bool,
}

/// Resource limits of a service, in cgroup v2's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Resources {
    /// `memory.max`. If absent, there is no limit.
    #[serde(deserialize_with = "range::memory_max")]
    pub memory_max: Option<Bytes>,
    /// `memory.min`: memory protected from reclaim.
    pub memory_min: Option<Bytes>,
    /// `pids.max`; 0 means no limit.
    #[serde(deserialize_with = "range::pids_max")]
    pub pids_max: u32,
    /// `cpu.weight`; the kernel's default is 100.
    #[serde(deserialize_with = "range::cpu_weight")]
    pub cpu_weight: u16,
    /// `/proc/PID/oom_score_adj`.
    #[serde(deserialize_with = "range::oom_score_adj")]
    pub oom_score_adj: i16,
    /// `RLIMIT_NOFILE`, soft and hard.
    #[serde(deserialize_with = "range::open_files")]
    pub open_files: u32,
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            memory_max: None,
            memory_min: None,
            pids_max: 64,
            cpu_weight: 100,
            oom_score_adj: 0,
            open_files: 1024,
        }
    }
}

pub(crate) fn yes() -> bool {
    true
}

fn root() -> String {
    "root".to_owned()
}

fn slash() -> String {
    "/".to_owned()
}

#[cfg(test)]
mod tests;
