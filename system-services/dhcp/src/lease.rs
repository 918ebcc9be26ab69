//! The lease as reported to PID 1.

use serde::Serialize;
use std::net::Ipv4Addr;

/// Maximum number of resolvers, search domains or time servers that are passed on: the message to
/// PID 1 is a datagram of at most 4096 bytes.
pub(crate) const LIST_MAX: usize = 6;

/// A lease as granted by the server, validated and bounded; links and addresses in PID 1's
/// notation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Lease {
    /// `10.0.2.15/24`
    pub address: Cidr,
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
    /// How long the lease is valid; `u32::MAX` means forever.
    pub lease_seconds: u32,
}

impl Lease {
    /// The `X_TARE_LEASE` value for the link `interface`.
    ///
    /// # Errors
    /// Never for a lease: its fields are plain strings and numbers.
    pub(crate) fn message(&self, interface: &str) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct Message<'a> {
            interface: &'a str,
            #[serde(flatten)]
            lease: &'a Lease,
        }
        serde_json::to_string(&Message {
            interface,
            lease: self,
        })
    }
}

/// An address with its prefix length in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cidr {
    pub address: Ipv4Addr,
    pub prefix: u32,
}

impl Serialize for Cidr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}/{}", self.address, self.prefix))
    }
}

/// A host or domain name fit for a configuration file: letters, digits, `-` and `.`, at most 253
/// bytes (RFC 1123, section 2.1). A trailing dot is dropped; `None` for anything else.
pub(crate) fn name(text: &str) -> Option<String> {
    let text = text.trim_end_matches(['.', '\0']);
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let fine = !text.is_empty() && text.len() <= 253 && text.chars().all(fits);
    fine.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (text, want) in [
            ("example.org", Some("example.org")),
            ("example.org.", Some("example.org")),
            ("host\0", Some("host")),
            ("", None),
            ("two words", None),
            ("x\nnameserver 192.0.2.1", None),
        ] {
            assert_eq!(name(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn the_largest_message_fits_a_datagram() {
        let lease = Lease {
            address: Cidr {
                address: Ipv4Addr::BROADCAST,
                prefix: 24,
            },
            gateway: Some(Ipv4Addr::BROADCAST),
            dns: vec![Ipv4Addr::BROADCAST; LIST_MAX],
            search: vec!["a".repeat(253); LIST_MAX],
            ntp: vec![Ipv4Addr::BROADCAST; LIST_MAX],
            hostname: Some("a".repeat(253)),
            mtu: Some(u16::MAX),
            lease_seconds: u32::MAX,
        };
        assert!(lease.message("interface-name-").unwrap().len() < 4096 - 64);
    }
}
