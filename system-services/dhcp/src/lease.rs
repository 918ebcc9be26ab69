//! Bounds on what is reported to PID 1.

/// Maximum number of resolvers, search domains or time servers that are passed on: the message to
/// PID 1 is a datagram of at most 4096 bytes.
pub(crate) const LIST_MAX: usize = 6;

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
    use std::net::Ipv4Addr;
    use tare_config::{Lease, LeaseReport};

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
            address: Ipv4Addr::BROADCAST,
            prefix: 24,
            gateway: Some(Ipv4Addr::BROADCAST),
            dns: vec![Ipv4Addr::BROADCAST; LIST_MAX],
            search: vec!["a".repeat(253); LIST_MAX],
            ntp: vec![Ipv4Addr::BROADCAST; LIST_MAX],
            hostname: Some("a".repeat(253)),
            mtu: Some(u16::MAX),
            lease_seconds: u32::MAX,
        };
        let interface = "interface-name-".to_owned();
        let report = serde_json::to_string(&LeaseReport { interface, lease }).unwrap();
        assert!(report.len() < 4096 - 64);
    }
}
