//! A machine's configuration: what user-data may set.

mod access;
mod apps;
mod certificates;
mod checked;
mod control;
mod engine;
mod keys;
mod log;
mod metrics;
mod module;
mod network;
mod registry;
mod schema;
mod sysctl;
mod watchdog;

pub use access::Hostname;
pub use apps::App;
pub(crate) use apps::forms;
pub use certificates::Certificates;
pub use control::{Control, Others};
pub use engine::Engine;
pub use keys::AuthorizedKey;
pub use log::{Forward, Log, Receiver, Transport};
pub use metrics::Metrics;
pub use module::ModuleName;
pub use network::{Cidr, Domain, Interface, Mtu, Network};
pub use registry::{Mirror, Registries, Registry, RegistryName};
pub use schema::{DottedKey, SchemaVersion};
pub use sysctl::Sysctl;
pub use watchdog::{Watchdog, WatchdogTimeout};

use crate::Override;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The whole configuration of a machine, all layers merged. Every key has a default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Machine {
    /// The version of the keys that this is written for: 1. A source for any other is rejected as a whole.
    pub schema: SchemaVersion,
    /// Keys that weaker sources set and this one takes back, such as `network.interfaces.eth0.addresses`.
    #[serde(deserialize_with = "checked::list")]
    pub unset: Vec<DottedKey>,
    /// The machine's name. If absent, the one DHCP sends, otherwise `tare`.
    pub hostname: Option<Hostname>,
    /// Public keys that may log in over ssh.
    #[serde(deserialize_with = "checked::list")]
    pub ssh_authorized_keys: Vec<AuthorizedKey>,
    /// Certificates that the engine and logins trust besides those of the image.
    #[serde(deserialize_with = "checked::list")]
    pub ca_certificates: Vec<Certificates>,
    /// Links, addresses, resolvers.
    pub network: Network,
    /// Where the time comes from.
    pub time: Time,
    /// The hardware watchdog.
    pub watchdog: Watchdog,
    /// Access to the control socket.
    pub control: Control,
    /// Metrics for monitoring.
    pub metrics: Metrics,
    /// What the log keeps and where it is forwarded.
    pub log: Log,
    /// Settings of the kernel.
    pub sysctl: Sysctl,
    /// Modules of the kernel to load, besides those of devices and those that the kernel asks for.
    #[serde(deserialize_with = "checked::list")]
    pub modules: Vec<ModuleName>,
    /// Options of the container engine.
    pub engine: Engine,
    /// Registries, by their host.
    pub registries: Registries,
    /// Changes to the image's services, by name.
    pub services: BTreeMap<String, Override>,
    /// Apps by name.
    pub apps: BTreeMap<String, App>,
}

/// Where the time comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Time {
    /// NTP servers, by name or address. If empty, those DHCP names, otherwise Debian's pool.
    #[serde(deserialize_with = "checked::list")]
    pub servers: Vec<ServerName>,
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
