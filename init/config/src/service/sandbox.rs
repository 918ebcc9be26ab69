//! What isolates a service from the host.

use super::Service;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// The isolation of a service. By default every restriction applies.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Sandbox {
    /// Namespaces of the host that it joins instead of having its own.
    pub host_namespaces: Vec<Namespace>,
    /// Whether its root filesystem is mounted read-only.
    pub read_only_rootfs: bool,
    /// `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privileges: bool,
    /// Which system calls it may make.
    pub seccomp: SeccompProfile,
    /// Device nodes of the host it gets in addition to `null`, `zero`, `full`, `random`, `urandom` and `tty`; `all`
    /// alone means the host's `/dev` itself.
    #[serde(deserialize_with = "devices")]
    pub devices: Vec<String>,
    /// How much of `/proc` it sees.
    pub proc: Proc,
    /// How much of `/sys` it sees.
    pub sys: Sys,
}

impl Default for Sandbox {
    fn default() -> Self {
        Self {
            host_namespaces: Vec::new(),
            read_only_rootfs: true,
            no_new_privileges: true,
            seccomp: SeccompProfile::Default,
            devices: Vec::new(),
            proc: Proc::Processes,
            sys: Sys::None,
        }
    }
}

/// Paths below `/dev`, or `all` alone.
fn devices<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let devices = Vec::<String>::deserialize(from)?;
    if devices == ["all"] {
        return Ok(devices);
    }
    for device in &devices {
        let below = device.strip_prefix("/dev/");
        if below.is_none_or(|node| node.is_empty() || node.split('/').any(|part| part == "..")) {
            return Err(D::Error::custom(format!(
                "`{device}` is no device: write a path below /dev, or `all` alone"
            )));
        }
    }
    Ok(devices)
}

impl Sandbox {
    /// True if the service shares `namespace` with the host.
    #[must_use]
    pub fn joins(&self, namespace: Namespace) -> bool {
        self.host_namespaces.contains(&namespace)
    }

    /// True if the service sees the host's own `/dev`.
    #[must_use]
    pub fn all_devices(&self) -> bool {
        self.devices.iter().any(|device| device == "all")
    }
}

impl Service {
    /// True if the service runs in its own user namespace, whose only user is the one it runs as. Capabilities held
    /// there are worth nothing on the host, so a service that names one gets the host's users.
    #[must_use]
    pub fn has_own_users(&self) -> bool {
        self.process.capabilities.is_empty() && !self.sandbox.joins(Namespace::User)
    }
}

/// A namespace that a service may share with the host. Its mount namespace is always its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// Links, addresses, ports.
    Network,
    /// Process ids.
    Pid,
    /// The view of the cgroup tree.
    Cgroup,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Hostname.
    Uts,
    /// Users. Only a service that names a capability needs the host's, and it gets them.
    User,
}

/// Which system calls a service may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompProfile {
    /// The calls a service needs, as wide as Docker's default profile and no wider.
    Default,
    /// Every call.
    Unconfined,
}

/// How much of `/proc` a service sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proc {
    /// The directories of processes and nothing about the kernel (`subset=pid`, Linux 5.8).
    Processes,
    /// The kernel's files too; those that configure it are read-only, those that reveal it are hidden.
    Masked,
    /// As the host sees it, writable.
    Host,
}

/// How much of `/sys` a service sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sys {
    /// Nothing.
    None,
    /// Read-only, with what reveals the machine hidden and with its own cgroups.
    Masked,
    /// As the host sees it, writable.
    Host,
}

/// A capability by its kernel name, `CAP_…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Capability(String);

/// The kernel's capabilities in the order of their numbers (`include/uapi/linux/capability.h`, 6.12).
pub const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

impl Capability {
    /// The kernel's name, `CAP_…`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Capability {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if CAPABILITIES.contains(&name.as_str()) {
            return Ok(Self(name));
        }
        Err(crate::error::unknown("capability", &name, &CAPABILITIES))
    }
}

impl From<Capability> for String {
    fn from(capability: Capability) -> Self {
        capability.0
    }
}
