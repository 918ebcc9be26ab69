//! A machine's configuration: what user-data may set.

mod access;
mod apps;
mod certificates;
mod checked;
mod control;
mod disks;
mod engine;
mod files;
mod jobs;
mod kernel;
mod keys;
mod log;
mod metrics;
mod module;
mod network;
mod registry;
mod schema;
mod secret;
mod secrets;
mod ssh;
mod swap;
mod sysctl;
mod users;
mod watchdog;
mod zone;

pub use access::Hostname;
pub use apps::App;
pub(crate) use apps::forms;
pub use certificates::Certificates;
pub use control::{Control, Others};
pub use disks::{
    DevicePath, Disk, DiskId, DiskLabel, Disks, FileSystem, Match, MountPoint, Serial, SizeBound,
};
pub use engine::Engine;
#[cfg(feature = "schema")]
pub(crate) use engine::{Kind as OptionKind, OPTIONS};
pub use files::{Base64, Checksum, File, FileMode, FilePath, Owner};
pub use jobs::{Job, JobVolume, PullPolicy, Word};
pub use kernel::{Kernel, LogLevel};
#[cfg(feature = "schema")]
pub(crate) use keys::TYPES as KEY_TYPES;
pub use keys::{AuthorizedKey, PublicKey};
pub use log::{Forward, Log, Receiver, Transport};
pub use metrics::Metrics;
pub use module::ModuleName;
pub use network::{Cidr, Domain, Interface, Mtu, Network};
pub use registry::{Mirror, Registries, Registry, RegistryName};
pub use schema::{DottedKey, SchemaVersion};
pub use secret::{CredentialName, HIDDEN, Reference, Secret, SecretBytes, SecretValues};
pub use ssh::{Ssh, SshPort};
pub use swap::{Swap, SwapSize, Zram, ZramSize};
pub use sysctl::Sysctl;
#[cfg(feature = "schema")]
pub(crate) use sysctl::{FIXED as FIXED_SETTINGS, LEAST_MAPS};
#[cfg(feature = "schema")]
pub(crate) use users::SYSTEM_NAMES;
pub use users::{GroupName, Principal, Shell, User, UserId, UserName, Users};
pub use watchdog::{Watchdog, WatchdogTimeout};
pub use zone::ZoneName;

use crate::Override;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole configuration of a machine, all layers merged. Every key has a default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Machine {
    /// The version of the keys that this is written for. A source for another version is rejected as a whole.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [1],
        "x-tare-see" = "user-data.md#user-data",
    )))]
    pub schema: SchemaVersion,
    /// Keys of weaker sources that are as if they had not been set.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["network.interfaces.eth0.addresses", "apps.demo"]],
        "x-tare-default" = "none",
        "x-tare-see" = "user-data.md#sources",
        "x-tare-type" = "list of keys",
    )))]
    pub unset: Vec<DottedKey>,
    /// The machine's name: labels of letters, digits and `-`, 64 bytes at most. A name from DHCP that does not fit is
    /// cut to its first label, or ignored if that does not fit either; the log says so.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["edge-17"],
        "x-tare-default" = "from DHCP, otherwise `tare`",
    )))]
    pub hostname: Option<Hostname>,
    /// Text that logins show after that of the image.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["Shop 17, Vienna. Questions: ops@example.com"],
        "x-tare-apply" = "live",
        "x-tare-default" = "none",
    )))]
    pub motd: Option<String>,
    /// Keys that may log in as root over ssh. Options, certificate authorities and FIDO keys work as in sshd(8).
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA you@laptop"]],
        "x-tare-default" = "none",
        "x-tare-type" = "list of lines of `authorized_keys`",
    )))]
    pub ssh_authorized_keys: Vec<AuthorizedKey>,
    /// Users beside root, by name. Each has a folder in `/home`, made if there is none.
    #[cfg_attr(feature = "schema", schemars(extend("x-tare-see" = "user-data.md#users")))]
    pub users: Users,
    /// Logins over ssh. Whatever stands here, keys and certificates log in, and passwords never do.
    #[cfg_attr(feature = "schema", schemars(extend("x-tare-see" = "user-data.md#users")))]
    pub ssh: Ssh,
    /// Certificates that the engine and logins trust besides those of the image, one or more in each text.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"]],
        "x-tare-default" = "none",
        "x-tare-see" = "docker.md#registries",
        "x-tare-type" = "list of PEM",
    )))]
    pub ca_certificates: Vec<Certificates>,
    /// Links, addresses and resolvers. An Ethernet link that is not named under `network.interfaces` uses DHCP. IPv6
    /// router advertisements are accepted on every link.
    pub network: Network,
    /// Where the time comes from, and how it is shown.
    pub time: Time,
    /// The hardware watchdog.
    pub watchdog: Watchdog,
    /// Access to the control socket.
    pub control: Control,
    /// Metrics for monitoring.
    pub metrics: Metrics,
    /// What the log keeps and where it is forwarded.
    pub log: Log,
    /// What the console shows of the kernel's log.
    pub kernel: Kernel,
    /// Settings of the kernel. They are applied once, when the configuration is read, and hold for the whole machine.
    #[cfg_attr(feature = "schema", schemars(extend(
        "x-tare-see" = "docker.md#settings-of-the-kernel",
    )))]
    pub sysctl: Sysctl,
    /// Swap. Without any, the kernel ends programs once the memory is full.
    #[cfg_attr(feature = "schema", schemars(extend("x-tare-see" = "docker.md#swap")))]
    pub swap: Swap,
    /// Modules of the kernel to load, besides those of devices and those that the kernel asks for, which are loaded
    /// anyway. No container may load any.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["ip_vs"]],
        "x-tare-default" = "none",
        "x-tare-type" = "list of modules' names or aliases",
    )))]
    pub modules: Vec<ModuleName>,
    /// Options of the container engine, as in `daemon.json`. An unknown option or a wrong type is an error of
    /// user-data; what only dockerd can judge, it judges when it starts.
    #[cfg_attr(feature = "schema", schemars(extend("x-tare-see" = "docker.md#options")))]
    pub engine: Engine,
    /// How registries are reached, by host name, with the port if it is not the usual one.
    #[cfg_attr(feature = "schema", schemars(extend("x-tare-see" = "docker.md#registries")))]
    pub registries: Registries,
    /// Files by path, for services, containers and logins. They are written before anything that uses the state partition
    /// starts, and again if they differ.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::files",
        extend("x-tare-see" = "user-data.md#files"),
    ))]
    pub files: BTreeMap<FilePath, File>,
    /// Disks beside the one that the system runs from, by a name of your choice. They are formatted only if they are blank,
    /// and checked, mounted and grown.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::disks",
        extend("x-tare-see" = "user-data.md#disks"),
    ))]
    pub disks: Disks,
    /// Changes to the services of the image, by name. A service's rights (namespaces, capabilities, mounts) cannot be
    /// changed here, because they belong to the verified image.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::services",
        extend("x-tare-see" = "services.md"),
    ))]
    pub services: BTreeMap<String, Override>,
    /// Apps by name, each a Compose specification that is up while the machine is.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::apps",
        extend("x-tare-see" = "user-data.md#apps"),
    ))]
    pub apps: BTreeMap<String, App>,
    /// Jobs by name, each a container that runs whenever its schedule says.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::jobs",
        extend("x-tare-see" = "user-data.md#jobs"),
    ))]
    pub jobs: BTreeMap<String, Job>,
}

/// Where the time comes from, and how it is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Time {
    /// NTP servers.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["ntp.example.com", "192.0.2.123"]],
        "x-tare-default" = "from DHCP, otherwise Debian's pool",
        "x-tare-type" = "list of host names or addresses",
    )))]
    pub servers: Vec<ServerName>,
    /// The time zone of logins, and of containers with `-v /etc/localtime:/etc/localtime`, by its name at IANA. The log and
    /// schedules use UTC. A running program keeps the zone that it has read.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["Europe/Vienna"],
        "x-tare-apply" = "live",
        "x-tare-default" = "`Etc/UTC`",
        "x-tare-see" = "docker.md#paths-and-devices",
    )))]
    pub zone: Option<ZoneName>,
}

/// A host name or address in a form that is safe in any configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(String);

impl ServerName {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ServerName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || ".-:".contains(c);
        if !name.is_empty() && name.len() <= 253 && name.chars().all(fits) {
            return Ok(Self(name));
        }
        Err(format!("`{name}` is neither a host name nor an address"))
    }
}

impl From<ServerName> for String {
    fn from(name: ServerName) -> Self {
        name.0
    }
}
