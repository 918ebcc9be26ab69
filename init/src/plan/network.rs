//! Plans what to set on which link, from configuration, links and leases.

use super::facts::Leases;
use super::lease::Lease;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::net::IpAddr;
use tare_config::Machine;
use tare_config::machine::Interface;

/// A link of a network card, physical or virtual.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Link {
    /// The kernel's index.
    pub(crate) index: u32,
    /// The kernel's name.
    pub(crate) name: String,
}

/// One thing to set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Bring a link up, with an MTU in bytes if one is given.
    Up { index: u32, mtu: Option<u32> },
    /// Give a link an address.
    Address {
        index: u32,
        address: IpAddr,
        prefix: u8,
    },
    /// Add a default route through this gateway.
    DefaultRoute { index: u32, gateway: IpAddr },
}

/// All steps, in the order in which they are applied.
pub(crate) fn plan(machine: &Machine, links: &BTreeSet<Link>, leases: &Leases) -> Vec<Step> {
    let unnamed = Interface::default();
    let mut steps: Vec<Step> = links
        .iter()
        .flat_map(|link| {
            let interface = machine
                .network
                .interfaces
                .get(&link.name)
                .unwrap_or(&unnamed);
            let lease = leases.get(&link.name).filter(|_| interface.uses_dhcp());
            link_steps(link.index, interface, lease)
        })
        .collect();
    // Links before addresses before routes: the order of the enum.
    steps.sort();
    steps
}

fn link_steps(index: u32, interface: &Interface, lease: Option<&Lease>) -> Vec<Step> {
    let mtu = interface
        .mtu
        .or(lease.and_then(|lease| lease.mtu))
        .map(|mtu| mtu.0);
    let addresses = interface
        .addresses
        .iter()
        .copied()
        .chain(lease.map(|lease| lease.address));
    let leased_gateway = lease.and_then(|lease| lease.gateway).filter(|leased| {
        let mut own = interface.gateway.iter();
        !own.any(|own| own.is_ipv4() == leased.is_ipv4())
    });
    let gateways = interface.gateway.iter().copied().chain(leased_gateway);
    std::iter::once(Step::Up { index, mtu })
        .chain(addresses.map(|cidr| Step::Address {
            index,
            address: cidr.address,
            prefix: cidr.prefix,
        }))
        .chain(gateways.map(|gateway| Step::DefaultRoute { index, gateway }))
        .collect()
}

/// The links that the `dhcp` service serves.
pub(crate) fn dhcp_links(machine: &Machine, links: &BTreeSet<Link>) -> Vec<String> {
    let named = &machine.network.interfaces;
    let served = links
        .iter()
        .filter(|link| named.get(&link.name).is_none_or(Interface::uses_dhcp));
    served.map(|link| link.name.clone()).collect()
}

/// Whether the kernel has a default route (`routed`), or will not get one: the links `are_there`, and none of them
/// uses DHCP.
pub(crate) fn is_online(routed: bool, dhcp_links: &[String], are_there: bool) -> bool {
    routed || (are_there && dhcp_links.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::lease;
    use std::time::Duration;

    fn machine(text: &str) -> Machine {
        tare_config::parse("t", text.as_bytes()).unwrap()
    }

    fn links() -> BTreeSet<Link> {
        BTreeSet::from([
            Link {
                index: 2,
                name: "eth0".into(),
            },
            Link {
                index: 3,
                name: "eth1".into(),
            },
        ])
    }

    fn leases() -> Leases {
        let json = r#"{"interface":"eth0","lease":{"address":"10.0.2.15","prefix":24,"gateway":"10.0.2.2","dns":[],
            "search":[],"ntp":[],"hostname":null,"mtu":1400,"lease-seconds":60}}"#;
        Leases::from([(
            "eth0".to_owned(),
            lease::read(json, Duration::ZERO).unwrap().0,
        )])
    }

    fn address(index: u32, address: &str, prefix: u8) -> Step {
        Step::Address {
            index,
            address: address.parse().unwrap(),
            prefix,
        }
    }

    fn route(index: u32, gateway: &str) -> Step {
        Step::DefaultRoute {
            index,
            gateway: gateway.parse().unwrap(),
        }
    }

    #[test]
    fn links_come_up_and_leases_are_set() {
        let up = |index, mtu| Step::Up { index, mtu };
        assert_eq!(
            plan(&machine(""), &links(), &Leases::new()),
            [up(2, None), up(3, None)]
        );
        assert_eq!(
            plan(&machine(""), &links(), &leases()),
            [
                up(2, Some(1400)),
                up(3, None),
                address(2, "10.0.2.15", 24),
                route(2, "10.0.2.2")
            ]
        );
    }

    #[test]
    fn static_configuration_wins_over_a_lease() {
        let machine = machine(
            "[network.interfaces.eth0]\naddresses = ['192.0.2.10/24', '2001:db8::10/64']\ngateway = '192.0.2.1'\nmtu = 9000",
        );
        assert_eq!(
            plan(&machine, &links(), &leases()),
            [
                Step::Up {
                    index: 2,
                    mtu: Some(9000)
                },
                Step::Up {
                    index: 3,
                    mtu: None
                },
                address(2, "192.0.2.10", 24),
                address(2, "2001:db8::10", 64),
                route(2, "192.0.2.1"),
            ]
        );
        assert_eq!(dhcp_links(&machine, &links()), ["eth1"]);
    }

    #[test]
    fn a_leased_gateway_yields_to_one_of_its_family() {
        for (own, want) in [
            ("'192.0.2.1'", vec![route(2, "192.0.2.1")]),
            (
                "'2001:db8::1'",
                vec![route(2, "10.0.2.2"), route(2, "2001:db8::1")],
            ),
        ] {
            let text = format!(
                "[network.interfaces.eth0]\ndhcp=true\n\
                 addresses=['192.0.2.10/24','2001:db8::10/64']\ngateway={own}"
            );
            let mut steps = plan(&machine(&text), &links(), &leases());
            steps.retain(|step| matches!(step, Step::DefaultRoute { .. }));
            assert_eq!(steps, want, "{own}");
        }
    }

    #[test]
    fn online_is_a_default_route_or_none_to_come() {
        let fixed = "[network.interfaces.eth0]\naddresses=['192.0.2.1/24']\n[network.interfaces.eth1]\ndhcp=false";
        // First while links may still come, then when all are there.
        for (text, links, routed, want) in [
            ("", links(), false, [false, false]),
            ("", links(), true, [true, true]),
            ("", BTreeSet::new(), false, [false, true]),
            (fixed, links(), false, [false, true]),
        ] {
            let dhcp = dhcp_links(&machine(text), &links);
            let online = [false, true].map(|are_there| is_online(routed, &dhcp, are_there));
            assert_eq!(online, want, "{text}");
        }
    }
}
