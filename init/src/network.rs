//! The machine's network as it is now: links, leases, and what follows from them.

mod process;
pub(crate) mod worker;

use crate::clock::since_boot;
use crate::event::Event;
use crate::plan;
use crate::plan::facts::{Fact, Leases};
use crate::plan::lease;
use crate::plan::network::Link;
use process::Process;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tare_config::Machine;
use tokio::sync::mpsc::UnboundedSender;

/// After this long, a link that has a carrier but no lease is a problem. DHCP servers answer within seconds, and a
/// switch may take 30 s before it forwards anything (IEEE 802.1D, twice its forward delay).
const LEASE_PATIENCE: Duration = Duration::from_secs(35);

/// The kernel's network.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The Ethernet links that are neither the loopback nor a bridge, a tunnel or a container's end.
    pub(crate) links: BTreeSet<Link>,
    /// The addresses of those links that are not link-local: name and `ADDRESS/PREFIX`.
    pub(crate) addresses: Vec<(String, String)>,
    /// Whether there is a default route, from any source.
    pub(crate) routed: bool,
    /// The names of those links that have a carrier: a cable, or a network at its other end.
    pub(crate) carriers: BTreeSet<String>,
}

/// What follows from the current network.
pub(crate) struct Outlook {
    /// The links that use DHCP.
    pub(crate) dhcp: Vec<String>,
    /// Whether there is a default route, or none will come.
    pub(crate) online: bool,
    /// The machine's addresses.
    pub(crate) addresses: Fact,
}

/// The machine's network.
pub(crate) struct Network {
    process: Process,
    report: Report,
    pub(crate) leases: Leases,
    /// What was wrong with the last lease of each link.
    complaints: BTreeMap<String, Vec<String>>,
    /// The links with a carrier that use DHCP and have no lease, and since when (since boot).
    waiting: BTreeMap<String, Duration>,
    /// Whether all links present at boot are known; some have a driver that is a module.
    cold_plugged: bool,
}

impl Network {
    /// Starts the process that talks to the kernel; its reports arrive as [`Event::Network`].
    pub(crate) fn start(events: UnboundedSender<Event>) -> Self {
        Self {
            process: Process::start(events),
            report: Report::default(),
            leases: Leases::new(),
            complaints: BTreeMap::new(),
            waiting: BTreeMap::new(),
            cold_plugged: false,
        }
    }

    /// Stores the latest report. Returns whether links have gone. Their leases go with them: another card that gets
    /// the name may be in another network.
    pub(crate) fn reported(&mut self, report: Report) -> bool {
        let before = std::mem::replace(&mut self.report, report);
        let gone: Vec<&Link> = before.links.difference(&self.report.links).collect();
        for Link { name, .. } in &gone {
            if self.leases.remove(name).is_some() {
                log::warn!("network: {name} has gone, and its lease with it");
            }
        }
        !gone.is_empty()
    }

    /// The links of network cards.
    pub(crate) fn links(&self) -> &BTreeSet<Link> {
        &self.report.links
    }

    /// The modules of the devices present at boot are loaded.
    pub(crate) fn cold_plugged(&mut self) {
        self.cold_plugged = true;
    }

    /// Has the kernel's network configured as configuration and leases say, and returns what follows from its current
    /// state.
    pub(crate) fn refresh(&mut self, machine: &Machine) -> Outlook {
        let links = &self.report.links;
        self.process
            .set(plan::network::plan(machine, links, &self.leases));
        let dhcp = plan::network::dhcp_links(machine, links);
        self.wait_for_leases(&dhcp, since_boot());
        Outlook {
            online: plan::network::is_online(self.report.routed, &dhcp, self.cold_plugged),
            dhcp,
            addresses: plan::facts::addresses(&self.report.addresses),
        }
    }

    /// Notes which of the links `dhcp` wait for a lease now.
    fn wait_for_leases(&mut self, dhcp: &[String], now: Duration) {
        let (leases, carriers) = (&self.leases, &self.report.carriers);
        let waits = |link: &&String| carriers.contains(*link) && !leases.contains_key(*link);
        let since = |link: &String| self.waiting.get(link).copied().unwrap_or(now);
        let waiting = dhcp.iter().filter(waits);
        self.waiting = waiting.map(|link| (link.clone(), since(link))).collect();
    }

    /// The links that have waited for a lease for too long at `now`, one sentence each.
    pub(crate) fn problems(&self, now: Duration) -> Vec<String> {
        let late = |since: Duration| now.saturating_sub(since) >= LEASE_PATIENCE;
        let late = self.waiting.iter().filter(|(_, since)| late(**since));
        late.map(|(link, _)| format!("network: {link} has a carrier, but no lease by DHCP"))
            .collect()
    }

    /// Stores a lease that the `dhcp` service reports, if its link uses DHCP.
    pub(crate) fn lease(&mut self, machine: &Machine, json: &str) {
        match lease::read(json, since_boot()) {
            Ok((lease, _)) if !self.wants_lease(machine, &lease.interface) => {
                log::debug!("network: a lease for {:?} is of no use", lease.interface);
            }
            Ok((lease, complaints)) => {
                let interface = lease.interface.clone();
                let before = self.complaints.insert(interface.clone(), complaints);
                let complaints = &self.complaints[&interface];
                if before.as_ref() != Some(complaints) {
                    for complaint in complaints {
                        log::warn!("network: the lease of {interface}: {complaint}");
                    }
                }
                if !lease.renews(self.leases.get(&interface)) {
                    log::info!("network: {interface} has {} by DHCP", lease.address);
                }
                self.leases.insert(interface, lease);
            }
            Err(error) => log::warn!("network: lease refused: {error}"),
        }
    }

    fn wants_lease(&self, machine: &Machine, interface: &str) -> bool {
        let links = plan::network::dhcp_links(machine, &self.report.links);
        links.iter().any(|link| link == interface)
    }

    /// Drops expired leases, in case `dhcp` cannot report them: after a restart it has none. Returns whether
    /// there were any, and how long the next one lasts.
    pub(crate) fn end_leases(&mut self) -> (bool, Option<Duration>) {
        let now = since_boot();
        let over = lease::over(&self.leases, now);
        over.iter().for_each(|interface| self.lease_lost(interface));
        let next = lease::first_end(&self.leases).map(|end| end.saturating_sub(now));
        (!over.is_empty(), next)
    }

    /// Drops a lease that has expired.
    pub(crate) fn lease_lost(&mut self, interface: &str) {
        if self.leases.remove(interface).is_some() {
            log::warn!("network: the lease of {interface} has run out");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc::unbounded_channel;
    use tokio::task::LocalSet;

    fn report(links: &[(u32, &str)]) -> Report {
        let link = |(index, name): &(u32, &str)| Link {
            index: *index,
            name: (*name).to_owned(),
        };
        Report {
            links: links.iter().map(link).collect(),
            ..Report::default()
        }
    }

    fn lease(interface: &str) -> String {
        format!(
            r#"{{"interface":"{interface}","lease":{{"address":"10.0.2.15","prefix":24,"gateway":null,"dns":[],
            "search":[],"ntp":[],"hostname":null,"mtu":null,"lease-seconds":60}}}}"#
        )
    }

    /// A network whose links are `links`, all with a lease.
    fn leased(links: &[(u32, &str)]) -> Network {
        let mut network = Network::start(unbounded_channel().0);
        network.reported(report(links));
        for (_, name) in links {
            network.lease(&Machine::default(), &lease(name));
        }
        network
    }

    #[tokio::test]
    async fn a_lease_goes_with_its_link() {
        let both = [(2, "eth0"), (3, "eth1")];
        for (then, gone, want) in [
            (&both[..], false, vec!["eth0", "eth1"]),
            (&both[..1], true, vec!["eth0"]),
            // Another card with the name.
            (&[(2, "eth0"), (4, "eth1")], true, vec!["eth0"]),
            (
                &[(2, "eth0"), (3, "eth1"), (4, "eth2")],
                false,
                vec!["eth0", "eth1"],
            ),
            (&[], true, vec![]),
        ] {
            let left = async {
                let mut network = leased(&both);
                let lost = network.reported(report(then));
                (lost, network.leases.into_keys().collect::<Vec<_>>())
            };
            let (lost, left) = LocalSet::new().run_until(left).await;
            assert_eq!(
                (lost, left.iter().map(String::as_str).collect()),
                (gone, want)
            );
        }
    }

    #[tokio::test]
    async fn a_link_without_a_lease_is_named_in_time() {
        let dhcp = ["eth0".to_owned(), "eth1".to_owned()];
        let named = async {
            let mut network = leased(&[(2, "eth0")]);
            let seconds = Duration::from_secs;
            let mut at = |carriers: &[&str], now| {
                let carriers = carriers.iter().map(|name| (*name).to_owned());
                network.reported(Report {
                    carriers: carriers.collect(),
                    ..report(&[(2, "eth0"), (3, "eth1")])
                });
                network.wait_for_leases(&dhcp, seconds(now));
                [now + 29, now + 35].map(|now| network.problems(seconds(now)).len())
            };
            let both = ["eth0", "eth1"];
            [
                at(&both[..1], 0),
                at(&both, 10),
                // Still since then.
                at(&both, 20),
                // The cable was out meanwhile.
                at(&both[..1], 50),
                at(&both, 60),
            ]
        };
        let named = LocalSet::new().run_until(named).await;
        assert_eq!(named, [[0, 0], [0, 1], [1, 1], [0, 0], [0, 1]]);
    }
}
