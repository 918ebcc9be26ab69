//! The facts about the host that services read at `/run/host`.

use super::lease::Lease;
use super::users;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::IpAddr;
use tare_config::Machine;
use tare_config::machine::{Certificates, ZoneName};

/// A file of `/run/host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fact {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Fact {
    /// Both.
    pub(super) fn name_and_text(&self) -> (&str, &str) {
        (&self.name, &self.text)
    }
}

/// The file `name` with `text`.
pub(super) fn fact(name: impl Into<String>, text: String) -> Fact {
    let name = name.into();
    Fact { name, text }
}

/// Debian's vendor zone of the NTP pool, for a machine without configured or leased servers.
const DEFAULT_POOL: &str = "2.debian.pool.ntp.org";

/// What logins show.
pub(crate) const MOTD: &str = "motd";

/// The name of the time zone, as Debian's `/etc/timezone`. The zone itself is in `localtime`.
pub(crate) const TIME_ZONE: &str = "timezone";

/// The time zone if none is configured.
const DEFAULT_ZONE: &str = "Etc/UTC";

/// The hostname if none is configured or leased.
const DEFAULT_HOSTNAME: &str = "tare";

/// Leases by the link that holds them.
pub(crate) type Leases = BTreeMap<String, Lease>;

/// The machine's name: configured, otherwise leased, otherwise our own.
pub(crate) fn hostname(machine: &Machine, leases: &Leases) -> String {
    let configured = machine
        .hostname
        .as_ref()
        .map(|name| name.as_str().to_owned());
    let leased = || {
        leases
            .values()
            .find_map(|lease| lease.hostname.clone().map(String::from))
    };
    configured
        .or_else(leased)
        .unwrap_or_else(|| DEFAULT_HOSTNAME.to_owned())
}

/// All facts but the addresses.
pub(crate) fn facts(machine: &Machine, leases: &Leases, machine_id: &str) -> Vec<Fact> {
    let hostname = hostname(machine, leases);
    let mut facts = vec![
        fact("hosts", hosts(&hostname)),
        fact("resolv.conf", resolv_conf(machine, leases)),
        fact("ntp.sources", ntp_sources(machine, leases)),
        fact("ca-certificates.crt", ca_certificates(machine)),
        fact(MOTD, motd(machine)),
        fact(TIME_ZONE, time_zone(machine)),
        fact("machine-id", format!("{machine_id}\n")),
        fact("hostname", format!("{hostname}\n")),
    ];
    facts.extend(users::facts(machine));
    facts
}

/// The addresses of the machine, a line each: link and address.
pub(crate) fn addresses(addresses: &[(String, String)]) -> Fact {
    fact(
        "addresses",
        addresses
            .iter()
            .map(|(link, address)| format!("{link} {address}\n"))
            .collect(),
    )
}

fn hosts(hostname: &str) -> String {
    format!("127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n127.0.1.1 {hostname}\n")
}

fn time_zone(machine: &Machine) -> String {
    let zone = machine.time.zone.as_ref();
    format!("{}\n", zone.map_or(DEFAULT_ZONE, ZoneName::as_str))
}

/// What logins show, with its last line ended.
fn motd(machine: &Machine) -> String {
    let text = machine.motd.as_deref().unwrap_or_default();
    match text.is_empty() || text.ends_with('\n') {
        true => text.to_owned(),
        false => format!("{text}\n"),
    }
}

fn ca_certificates(machine: &Machine) -> String {
    let texts = machine.ca_certificates.iter();
    texts.map(Certificates::pem).collect()
}

/// `resolv.conf(5)`: at most three resolvers are used (`MAXNS`).
fn resolv_conf(machine: &Machine, leases: &Leases) -> String {
    let mut servers: Vec<IpAddr> = machine.network.dns.clone();
    let mut search: Vec<String> = machine
        .network
        .search
        .iter()
        .cloned()
        .map(String::from)
        .collect();
    if servers.is_empty() {
        servers = leases
            .values()
            .flat_map(|lease| lease.dns.clone())
            .collect();
    }
    if search.is_empty() {
        search = leases
            .values()
            .flat_map(|lease| lease.search.iter().cloned().map(String::from))
            .collect();
    }
    let mut text: String = servers
        .iter()
        .take(3)
        .map(|server| format!("nameserver {server}\n"))
        .collect();
    if !search.is_empty() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "search {}", search.join(" "));
    }
    text
}

/// chrony's sources (`chrony.conf(5)`, `sourcedir`).
fn ntp_sources(machine: &Machine, leases: &Leases) -> String {
    let configured = machine
        .time
        .servers
        .iter()
        .map(|server| server.as_str().to_owned());
    let leased = leases
        .values()
        .flat_map(|lease| lease.ntp.iter().map(ToString::to_string));
    let servers: Vec<String> = if machine.time.servers.is_empty() {
        leased.collect()
    } else {
        configured.collect()
    };
    if servers.is_empty() {
        return format!("pool {DEFAULT_POOL} iburst\n");
    }
    servers
        .iter()
        .map(|server| format!("server {server} iburst\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::lease;
    use std::time::Duration;

    const CERTIFICATE: &str =
        "ca-certificates = [\"-----BEGIN CERTIFICATE-----\\nMAA=\\n-----END CERTIFICATE-----\"]";

    fn lease() -> Leases {
        let json = r#"{"interface":"eth0","lease":{"address":"10.0.2.15","prefix":24,"gateway":"10.0.2.2","dns":["10.0.2.3"],
            "search":["lan"],"ntp":["10.0.2.4"],"hostname":"leased","mtu":null,"lease-seconds":86400}}"#;
        BTreeMap::from([(
            "eth0".to_owned(),
            lease::read(json, Duration::ZERO).unwrap().0,
        )])
    }

    fn text(machine: &str, leases: &Leases, name: &str) -> String {
        let machine: Machine = tare_config::parse("t", machine.as_bytes()).unwrap();
        facts(&machine, leases, "id")
            .into_iter()
            .find(|fact| fact.name == name)
            .unwrap()
            .text
    }

    #[test]
    fn what_is_configured_wins_over_what_is_leased() {
        for (machine, name, want) in [
            ("", "resolv.conf", "nameserver 10.0.2.3\nsearch lan\n"),
            (
                "[network]\ndns = ['192.0.2.1']",
                "resolv.conf",
                "nameserver 192.0.2.1\nsearch lan\n",
            ),
            ("", "ntp.sources", "server 10.0.2.4 iburst\n"),
            (
                "[time]\nservers = ['a.b']",
                "ntp.sources",
                "server a.b iburst\n",
            ),
            ("", "hostname", "leased\n"),
            ("hostname = 'h'", "hostname", "h\n"),
            ("", "timezone", "Etc/UTC\n"),
            ("time.zone = 'Asia/Tokyo'", "timezone", "Asia/Tokyo\n"),
            ("", "motd", ""),
            ("motd = 'a'", "motd", "a\n"),
            ("motd = \"a\\nb\\n\"", "motd", "a\nb\n"),
            ("", "ca-certificates.crt", ""),
            (
                CERTIFICATE,
                "ca-certificates.crt",
                "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            ),
        ] {
            assert_eq!(text(machine, &lease(), name), want, "{machine} {name}");
        }
    }

    #[test]
    fn a_machine_that_knows_nothing_still_has_a_name_and_a_time_source() {
        assert_eq!(text("", &Leases::new(), "hostname"), "tare\n");
        assert_eq!(
            text("", &Leases::new(), "ntp.sources"),
            "pool 2.debian.pool.ntp.org iburst\n"
        );
        assert_eq!(text("", &Leases::new(), "resolv.conf"), "");
    }
}
