//! Parses the reports of the `dhcp` service, and leaves out what is unusable.

use super::facts::Leases;
use serde::de::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tare_config::LeaseReport;
use tare_config::machine::{Cidr, Domain, Hostname, Mtu};

/// What is used of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) interface: String,
    pub(crate) address: Cidr,
    pub(crate) gateway: Option<IpAddr>,
    pub(crate) dns: Vec<IpAddr>,
    pub(crate) search: Vec<Domain>,
    pub(crate) ntp: Vec<IpAddr>,
    pub(crate) hostname: Option<Hostname>,
    pub(crate) mtu: Option<Mtu>,
    /// When it expires, since boot; `None` means never.
    pub(crate) until: Option<Duration>,
}

impl Lease {
    /// Whether it only prolongs `before`.
    pub(crate) fn renews(&self, before: Option<&Self>) -> bool {
        let until = self.until;
        before.is_some_and(|before| {
            *self
                == Self {
                    until,
                    ..before.clone()
                }
        })
    }
}

/// The packet size that every host must accept (RFC 791, section 3.1). A smaller MTU is a mistake, or makes the
/// machine unreachable.
const LEAST_MTU: u16 = 576;

/// The duration of an infinite lease, in seconds (RFC 2131, section 3.3).
const FOR_EVER: u32 = u32::MAX;

/// Parses the lease that `json` reports at `now`. Also returns complaints about the parts that were left out.
///
/// # Errors
/// `json` is not a report, or no machine can have its address.
pub(crate) fn read(json: &str, now: Duration) -> serde_json::Result<(Lease, Vec<String>)> {
    let LeaseReport { interface, lease } = serde_json::from_str(json)?;
    let address = Cidr {
        address: IpAddr::V4(lease.address),
        prefix: lease.prefix,
    };
    if !is_host(lease.address) || !(1..=32).contains(&lease.prefix) {
        let why = format!("{address} is not the address of a machine");
        return Err(serde_json::Error::custom(why));
    }
    let mut complaints = Vec::new();
    let mut host = |what: &str, address: &Ipv4Addr| {
        let fits = is_host(*address);
        if !fits {
            complaints.push(format!("{what} {address} is not a machine and is left out"));
        }
        fits
    };
    let gateway = lease.gateway.filter(|address| host("gateway", address));
    let mut hosts = |what: &str, addresses: Vec<Ipv4Addr>| -> Vec<IpAddr> {
        let addresses = addresses.into_iter();
        let fit = addresses.filter(|address| host(what, address));
        fit.map(IpAddr::V4).collect()
    };
    let dns = hosts("resolver", lease.dns);
    let ntp = hosts("time server", lease.ntp);
    let mtu = lease.mtu.filter(|mtu| {
        let fits = *mtu >= LEAST_MTU;
        if !fits {
            complaints.push(format!(
                "MTU {mtu} is less than {LEAST_MTU} and is left out"
            ));
        }
        fits
    });
    let hostname = lease
        .hostname
        .and_then(|name| hostname(name, &mut complaints));
    let search = lease
        .search
        .into_iter()
        .filter_map(|name| domain(name, &mut complaints))
        .collect();
    let seconds = Some(lease.lease_seconds).filter(|seconds| *seconds != FOR_EVER);
    let lease = Lease {
        interface,
        address,
        gateway: gateway.map(IpAddr::V4),
        dns,
        search,
        ntp,
        hostname,
        mtu: mtu.map(|mtu| Mtu(mtu.into())),
        until: seconds.map(|seconds| now + Duration::from_secs(seconds.into())),
    };
    Ok((lease, complaints))
}

/// Whether a machine can have this address, on a link that is not the loopback.
fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    !(first == 0 || address.is_loopback() || address.is_multicast() || address.is_broadcast())
}

/// The links whose leases have expired at `now`.
pub(crate) fn over(leases: &Leases, now: Duration) -> Vec<String> {
    let over = |lease: &&Lease| lease.until.is_some_and(|until| until <= now);
    let leases = leases.values().filter(over);
    leases.map(|lease| lease.interface.clone()).collect()
}

/// When the first of the leases expires.
pub(crate) fn first_end(leases: &Leases) -> Option<Duration> {
    leases.values().filter_map(|lease| lease.until).min()
}

/// `name`, or its first label if `name` does not fit: clouds append zone and project to a machine's name.
fn hostname(name: String, complaints: &mut Vec<String>) -> Option<Hostname> {
    if let Ok(fits) = Hostname::try_from(name.clone()) {
        return Some(fits);
    }
    let label = name.split('.').next().unwrap_or_default();
    let short = Hostname::try_from(label.to_owned()).ok();
    complaints.push(match &short {
        Some(short) => format!(
            "hostname {name:?} does not fit, {:?} is used",
            short.as_str()
        ),
        None => format!("hostname {name:?} does not fit and is left out"),
    });
    short
}

fn domain(name: String, complaints: &mut Vec<String>) -> Option<Domain> {
    let domain = Domain::try_from(name.clone()).ok();
    if domain.is_none() {
        complaints.push(format!("search {name:?} is no domain and is left out"));
    }
    domain
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report of a lease with this `hostname` and one domain, `search`.
    fn report(hostname: &str, search: &str) -> String {
        format!(
            r#"{{"interface":"eth0","lease":{{"address":"10.0.2.15","prefix":24,"gateway":"10.0.2.2","dns":["10.0.2.3"],
            "search":["{search}"],"ntp":["10.0.2.4"],"hostname":"{hostname}","mtu":1400,"lease-seconds":60}}}}"#
        )
    }

    #[test]
    fn a_name_that_does_not_fit_costs_no_lease() {
        let zone = format!("c.{}.internal", "project-".repeat(7) + "1");
        let (fqdn, long) = (format!("vm-1.{zone}"), "a".repeat(253));
        for (hostname, search, want, complaints) in [
            ("vm-1", zone.as_str(), (Some("vm-1"), 1), vec![]),
            (
                fqdn.as_str(),
                "lan",
                (Some("vm-1"), 1),
                vec![format!("hostname {fqdn:?} does not fit, \"vm-1\" is used")],
            ),
            (
                long.as_str(),
                long.as_str(),
                (None, 0),
                vec![
                    format!("hostname {long:?} does not fit and is left out"),
                    format!("search {long:?} is no domain and is left out"),
                ],
            ),
            (
                "-a",
                "a..b",
                (None, 0),
                vec![
                    "hostname \"-a\" does not fit and is left out".to_owned(),
                    "search \"a..b\" is no domain and is left out".to_owned(),
                ],
            ),
        ] {
            let (lease, said) = read(&report(hostname, search), Duration::ZERO).unwrap();
            assert_eq!(lease.address.to_string(), "10.0.2.15/24");
            assert_eq!(lease.gateway, Some(IpAddr::from([10, 0, 2, 2])));
            let name = lease.hostname.as_ref().map(Hostname::as_str);
            assert_eq!((name, lease.search.len()), want);
            assert_eq!(said, complaints);
        }
    }

    #[test]
    fn a_renewal_changes_the_end_only() {
        let lease = |json: &str, now| read(json, Duration::from_secs(now)).unwrap().0;
        let json = report("vm-1", "lan");
        let first = lease(&json, 0);
        for (before, json, want) in [
            (None, json.clone(), false),
            (Some(&first), json.clone(), true),
            (Some(&first), json.replace("2.15", "2.16"), false),
            (Some(&first), json.replace("10.0.2.3", "10.0.2.5"), false),
        ] {
            assert_eq!(lease(&json, 30).renews(before), want, "{json}");
        }
    }

    #[test]
    fn a_report_of_another_form_is_refused() {
        let json = report("a", "lan").replace("10.0.2.15", "fec0::1");
        assert_eq!(
            read(&json, Duration::ZERO).unwrap_err().to_string(),
            "invalid IPv4 address syntax at line 1 column 48"
        );
    }

    #[test]
    fn what_no_machine_can_have_is_left_out() {
        for (from, to, want) in [
            (
                "10.0.2.2",
                "224.0.0.1",
                "gateway 224.0.0.1 is not a machine and is left out",
            ),
            (
                "10.0.2.3",
                "0.0.0.0",
                "resolver 0.0.0.0 is not a machine and is left out",
            ),
            (
                "10.0.2.4",
                "127.0.0.1",
                "time server 127.0.0.1 is not a machine and is left out",
            ),
            ("1400", "575", "MTU 575 is less than 576 and is left out"),
        ] {
            let json = report("a", "lan").replace(from, to);
            assert_eq!(read(&json, Duration::ZERO).unwrap().1, [want]);
        }
        for (address, prefix) in [
            ("127.0.0.2", 8),
            ("0.0.0.0", 8),
            ("10.0.2.15", 0),
            ("10.0.2.15", 33),
            ("224.0.0.1", 4),
            ("255.255.255.255", 32),
        ] {
            let json = report("a", "lan").replace("10.0.2.15", address);
            let json = json.replace(r#""prefix":24"#, &format!(r#""prefix":{prefix}"#));
            assert_eq!(
                read(&json, Duration::ZERO).unwrap_err().to_string(),
                format!("{address}/{prefix} is not the address of a machine")
            );
        }
    }

    #[test]
    fn a_lease_ends_when_its_time_is_over_unless_it_is_renewed() {
        let at = Duration::from_secs;
        let lease = |interface: &str, seconds: u32, now| {
            let json = report("a", "lan").replace("eth0", interface);
            let json = json.replace(":60}", &format!(":{seconds}}}"));
            (interface.to_owned(), read(&json, now).unwrap().0)
        };
        let mut leases = Leases::from([
            lease("eth0", 60, at(10)),
            lease("eth1", 600, at(10)),
            lease("eth2", u32::MAX, at(10)),
        ]);
        assert_eq!(first_end(&leases), Some(at(70)));
        assert_eq!(over(&leases, at(69)), [""; 0]);
        assert_eq!(over(&leases, at(70)), ["eth0"]);
        leases.extend([lease("eth0", 60, at(40))]);
        assert_eq!(over(&leases, at(70)), [""; 0]);
        assert_eq!(over(&leases, Duration::MAX), ["eth0", "eth1"]);
        leases.retain(|interface, _| interface == "eth2");
        assert_eq!(first_end(&leases), None);
    }
}
