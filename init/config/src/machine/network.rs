//! Links, addresses, resolvers.

use super::access::is_label;
use super::checked;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// The machine's network. An Ethernet link that is not named here is configured by DHCP.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Network {
    /// Resolvers, in order; at most three are used.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::addresses",
        extend(
            "examples" = [["192.0.2.53", "2001:db8::53"]],
            "x-tare-default" = "from DHCP",
            "x-tare-type" = "list of addresses",
        ),
    ))]
    pub dns: Vec<IpAddr>,
    /// Domains that complete short names, 253 bytes at most each.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["example.com"]],
        "x-tare-default" = "from DHCP",
        "x-tare-type" = "list of domains",
    )))]
    pub search: Vec<Domain>,
    /// Ethernet links by the kernel's name for them.
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::interfaces")
    )]
    pub interfaces: BTreeMap<String, Interface>,
}

/// One link.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Interface {
    /// Whether to ask for an IPv4 address.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [false],
        "x-tare-default" = "true without `addresses`",
    )))]
    pub dhcp: Option<bool>,
    /// Static IPv4 and IPv6 addresses.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["192.0.2.10/24", "2001:db8::10/64"]],
        "x-tare-default" = "none",
        "x-tare-type" = "list of `ADDRESS/PREFIX`",
    )))]
    pub addresses: Vec<Cidr>,
    /// Default gateway. With several links, the first has precedence.
    #[serde(deserialize_with = "gateways", skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::gateway",
        extend(
            "examples" = ["192.0.2.1", ["192.0.2.1", "2001:db8::1"]],
            "x-tare-default" = "from DHCP",
        ),
    ))]
    pub gateway: Vec<IpAddr>,
    /// Largest packet in bytes.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [9000],
        "x-tare-default" = "the driver's, or DHCP's",
    )))]
    pub mtu: Option<Mtu>,
}

impl Interface {
    /// Whether DHCP configures this link.
    #[must_use]
    pub fn uses_dhcp(&self) -> bool {
        self.dhcp.unwrap_or(self.addresses.is_empty())
    }
}

/// A gateway, or one of each family.
fn gateways<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<IpAddr>, D::Error> {
    #[derive(Deserialize)]
    #[serde(
        untagged,
        expecting = "this is not an address or a list of two: write it as in `192.0.2.1`"
    )]
    enum OneOrTwo {
        One(IpAddr),
        Two(Vec<IpAddr>),
    }
    let list = match OneOrTwo::deserialize(deserializer)? {
        OneOrTwo::One(address) => vec![address],
        OneOrTwo::Two(list) => list,
    };
    if list.iter().filter(|a| a.is_ipv4()).count() > 1
        || list.iter().filter(|a| a.is_ipv6()).count() > 1
    {
        return Err(serde::de::Error::custom(
            "gateway must be one address, or one of each family",
        ));
    }
    Ok(list)
}

/// A DNS domain: labels of letters, digits and `-`, 63 bytes each and 253 in all (RFC 1035, section 2.3.4).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Domain(String);

impl TryFrom<String> for Domain {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |label: &str| is_label(label) && label.len() <= 63;
        if name.len() <= 253 && name.split('.').all(fits) {
            return Ok(Self(name));
        }
        Err(format!(
            "`{name}` is not a domain: write labels of letters, digits and `-`, 63 at most each and 253 in all (RFC 1035, section 2.3.4)"
        ))
    }
}

impl From<Domain> for String {
    fn from(domain: Domain) -> Self {
        domain.0
    }
}

/// An address with its prefix length, as in `192.0.2.10/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cidr {
    /// The host's address.
    pub address: IpAddr,
    /// Prefix length in bits, up to 32 or 128.
    pub prefix: u8,
}

impl TryFrom<String> for Cidr {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse_cidr(&text).ok_or_else(|| {
            format!(
                "`{text}` is not an address with its prefix length: write it as in `192.0.2.10/24`"
            )
        })
    }
}

fn parse_cidr(text: &str) -> Option<Cidr> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let prefix: u8 = prefix.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    (prefix <= most).then_some(Cidr { address, prefix })
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl From<Cidr> for String {
    fn from(cidr: Cidr) -> Self {
        cidr.to_string()
    }
}

/// A link's largest packet in bytes. IPv4's minimum is 68 (RFC 791, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "i64", into = "u32")]
pub struct Mtu(pub u32);

impl TryFrom<i64> for Mtu {
    type Error = String;

    fn try_from(bytes: i64) -> Result<Self, String> {
        match u32::try_from(bytes) {
            Ok(fits @ 68..=65535) => Ok(Self(fits)),
            _ => Err(format!("mtu must be 68..=65535, is {bytes}")),
        }
    }
}

impl From<Mtu> for u32 {
    fn from(mtu: Mtu) -> Self {
        mtu.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        let label = "x".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "x".repeat(61));
        for good in ["lan", "c.project-1.internal", &longest] {
            assert_eq!(
                Domain::try_from(good.to_owned()),
                Ok(Domain(good.to_owned()))
            );
        }
        for bad in [
            "",
            "a..b",
            "-a.b",
            "a_b",
            "lan.",
            &"x".repeat(64),
            &format!("{longest}x"),
        ] {
            let want = format!(
                "`{bad}` is not a domain: write labels of letters, digits and `-`, 63 at most each and 253 in all (RFC 1035, section 2.3.4)"
            );
            assert_eq!(Domain::try_from(bad.to_owned()), Err(want));
        }
    }
}
