//! What the `dhcp` service reports to PID 1: the value of `X_TARE_LEASE` on its notify socket, as JSON.

use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// A new or renewed lease.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct LeaseReport {
    /// The name of its link.
    pub interface: String,
    /// What was granted.
    pub lease: Lease,
}

/// What a DHCP server granted. Neither end trusts the names in it: a lease is valid without them.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Lease {
    /// The machine's address on the link.
    pub address: Ipv4Addr,
    /// The length of its prefix in bits, 1 to 32.
    pub prefix: u8,
    /// The gateway of the default route; it need not lie in the address's subnet.
    pub gateway: Option<Ipv4Addr>,
    /// Resolvers, best first.
    pub dns: Vec<Ipv4Addr>,
    /// Domains in which short names are looked up.
    pub search: Vec<String>,
    /// Time servers.
    pub ntp: Vec<Ipv4Addr>,
    /// The name that the network assigns to this machine.
    pub hostname: Option<String>,
    /// The link's MTU in bytes.
    pub mtu: Option<u16>,
    /// How long the lease is valid; `u32::MAX` means forever (RFC 2131, section 3.3).
    pub lease_seconds: u32,
}
