//! What PID 1 is told about a lease.

use serde::Serialize;
use std::net::Ipv4Addr;

/// Most resolvers, search domains or time servers that are handed on: the message to PID 1 is a
/// datagram of at most 4096 bytes.
pub(crate) const LIST_MAX: usize = 6;

/// What a server granted, checked and bounded; links and addresses as PID 1 writes them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Lease {
    /// `10.0.2.15/24`
    pub address: Cidr,
    /// Where the default route goes; it need not lie in the address's subnet.
    pub gateway: Option<Ipv4Addr>,
    /// Resolvers, best first.
    pub dns: Vec<Ipv4Addr>,
    /// Domains in which short names are looked up.
    pub search: Vec<String>,
    /// Time servers.
    pub ntp: Vec<Ipv4Addr>,
    /// The name the network has for this machine.
    pub hostname: Option<String>,
    /// The link's largest packet in bytes.
    pub mtu: Option<u16>,
    /// How long it is valid; `u32::MAX` is for ever.
    pub lease_seconds: u32,
}

impl Lease {
    /// The `X_TARE_LEASE` value for the link `interface`.
    ///
    /// # Errors
    /// None that a lease can cause: its fields are all plain strings and numbers.
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
/// bytes (RFC 1123, section 2.1). A trailing dot is dropped; anything else makes it `None`.
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
