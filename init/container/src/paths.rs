//! Where the host keeps what services see, and where services see it.
//!
//! PID 1 creates these directories before it launches a service; [`crate::compile`] only names them.

/// Non-secret facts about the machine (`resolv.conf`, `hostname`, …), rendered by PID 1.
pub const HOST_FACTS: &str = "/run/tare/host";
/// Where a service that shares the host's network sees [`HOST_FACTS`].
pub const HOST_FACTS_INSIDE: &str = "/run/host";
/// Where a service sees its [`config`].
pub const CONFIG_INSIDE: &str = "/run/config";
/// Where a service sees its [`notify`].
pub const NOTIFY_INSIDE: &str = "/run/notify";
/// `NOTIFY_SOCKET` of every service that uses it (`sd_notify(3)`).
pub const NOTIFY_SOCKET_INSIDE: &str = "/run/notify/notify.sock";
/// Configuration sections, one directory per service.
pub const CONFIGS: &str = "/run/tare/config";
/// Notify sockets, one directory per service.
pub const NOTIFIES: &str = "/run/tare/notify";
/// Directories that services share until power off.
pub const SHARES: &str = "/run/tare/shared";
/// The socket behind `/dev/log`, in a directory for the services that ask for it.
pub const LOG_SOCKET: &str = "/run/tare/shared/log/dev-log";
/// Where a service sees it.
pub const LOG_SOCKET_INSIDE: &str = "/dev/log";
/// Directories of services on the state partition.
pub const VOLUMES: &str = "/state/volumes";
/// The cgroup of all services, below the root of the cgroup tree.
pub const SERVICES_CGROUP: &str = "/services";

/// The directory with the sections of the machine's configuration that service `name` may read.
#[must_use]
pub fn config(name: &str) -> String {
    format!("{CONFIGS}/{name}")
}

/// The directory of the notify socket of service `name`.
#[must_use]
pub fn notify(name: &str) -> String {
    format!("{NOTIFIES}/{name}")
}

/// The directory that services share under `name`.
#[must_use]
pub fn shared(name: &str) -> String {
    format!("{SHARES}/{name}")
}

/// The directory of the state partition that keeps volume `name`.
#[must_use]
pub fn volume(name: &str) -> String {
    format!("{VOLUMES}/{name}")
}
