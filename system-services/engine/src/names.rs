//! Containers resolve names by the machine's resolvers of the moment.
//!
//! dockerd writes a container's `resolv.conf`, and its own server at 127.0.0.11 learns where to forward, when the
//! container starts. A lease may come later, or change. So containers have the fixed addresses of
//! [`RESOLVER_ADDRESSES`] instead (`dns` in the image's `daemon.json`), and the rules kept here translate them.
//!
//! Only new connections are translated. A UDP socket that keeps asking from one port keeps its resolver; the usual
//! clients open one for each query.

use crate::firewall::{self, Saved};
use crate::watch::Watch;
use anyhow::Result;
use serde_json::{Map, Value};
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use tare_config::RESOLVER_ADDRESSES;

/// PID 1's fact with the machine's resolvers.
const RESOLV_CONF: &str = "/run/host/resolv.conf";

/// The option of dockerd with the resolvers of containers.
const OPTION: &str = "dns";

/// Covers [`RESOLVER_ADDRESSES`].
const STAND_INS: &str = "169.254.53.0/30";
/// Translates destinations in the table `nat`, and drops packets in the table `raw` while there is no resolver.
const CHAIN: &str = "TARE-DNS";
/// Changes the source of what was translated: from the host, it is the loopback link's; from a container on the network
/// of a resolver, replies would bypass the translation.
const SOURCE_CHAIN: &str = "TARE-DNS-SOURCE";

/// Keeps the rules as the machine's resolvers are.
pub(crate) struct Names {
    pub(crate) watch: Watch,
    /// The resolvers for which there are rules.
    resolvers: Option<Vec<Ipv4Addr>>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self {
            watch: Watch::facts(),
            resolvers: None,
        }
    }

    /// Changes the rules if the resolvers have changed. Returns whether any fact has.
    pub(crate) fn follow(&mut self) -> bool {
        if !self.watch.changed() {
            return false;
        }
        let resolvers = current();
        if self.resolvers.as_ref() != Some(&resolvers) {
            let made = Saved::now().and_then(|saved| saved.translate(&resolvers));
            self.note(resolvers, made);
        }
        true
    }

    /// Notes that the rules for `resolvers` were `made`, or why not.
    pub(crate) fn note(&mut self, resolvers: Vec<Ipv4Addr>, made: Result<()>) {
        if let Err(error) = &made {
            eprintln!(
                "<3>containers cannot resolve names until dockerd starts again or the resolvers change: {error:#}"
            );
        }
        self.resolvers = made.is_ok().then_some(resolvers);
    }
}

/// The machine's resolvers, as far as containers reach them by translation.
pub(crate) fn current() -> Vec<Ipv4Addr> {
    reachable(&resolv_conf())
}

/// Leaves containers with what Docker gives them if none of the resolvers can be translated to: an IPv6 address is of
/// another family, and 127.0.0.0/8 leads nowhere from a container. dockerd asks both itself, for containers of networks
/// with names.
pub(crate) fn adapt(options: &mut Map<String, Value>) {
    if is_out_of_reach(&resolv_conf()) {
        options.remove(OPTION);
    }
}

/// A missing fact counts as empty.
fn resolv_conf() -> String {
    fs::read_to_string(RESOLV_CONF).unwrap_or_default()
}

fn resolvers(resolv_conf: &str) -> impl Iterator<Item = IpAddr> {
    let lines = resolv_conf.lines();
    let servers = lines.filter_map(|line| line.strip_prefix("nameserver "));
    servers.filter_map(|server| server.trim().parse().ok())
}

/// The resolvers that containers reach by translation.
fn reachable(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let of_family = resolvers(resolv_conf).filter_map(|server| match server {
        IpAddr::V4(server) => Some(server),
        IpAddr::V6(_) => None,
    });
    let fit = |server: &Ipv4Addr| {
        !server.is_loopback() && !server.is_unspecified() && !RESOLVER_ADDRESSES.contains(server)
    };
    of_family.filter(fit).collect()
}

/// Whether there are resolvers, but none that containers reach by translation.
fn is_out_of_reach(resolv_conf: &str) -> bool {
    resolvers(resolv_conf).next().is_some() && reachable(resolv_conf).is_empty()
}

/// The rules for `resolvers`, as input of iptables-restore(8). `nat` and `raw` are those tables as they are: jumps that
/// are there are kept, and naming a chain empties it.
///
/// The jumps come first, because the addresses are the host's: of the rules that dockerd appends, the one for a port 53
/// published by a container would match, too.
pub(crate) fn rules(resolvers: &[Ipv4Addr], nat: &str, raw: &str) -> String {
    let nat = firewall::chains(
        "nat",
        &[
            (CHAIN, translations(resolvers)),
            (
                SOURCE_CHAIN,
                format!(
                    "-A {SOURCE_CHAIN} ! -o lo -m conntrack --ctorigdst {STAND_INS} -j MASQUERADE\n"
                ),
            ),
        ],
        &[
            ("PREROUTING", CHAIN),
            ("OUTPUT", CHAIN),
            ("POSTROUTING", SOURCE_CHAIN),
        ],
        nat,
    );
    let raw = firewall::chains(
        "raw",
        &[(CHAIN, drops(resolvers))],
        &[("PREROUTING", CHAIN)],
        raw,
    );
    nat + &raw
}

/// With fewer resolvers than addresses, all addresses lead to one: a client that asks the next one gets an answer.
fn translations(resolvers: &[Ipv4Addr]) -> String {
    let pairs = RESOLVER_ADDRESSES.iter().zip(resolvers.iter().cycle());
    let rule = |(from, to): (&Ipv4Addr, &Ipv4Addr)| {
        let rule = |protocol| {
            let queries = format!("-d {from}/32 -p {protocol} -m {protocol} --dport 53");
            format!("-A {CHAIN} {queries} -j DNAT --to-destination {to}\n")
        };
        ["udp", "tcp"].map(rule).concat()
    };
    pairs.map(rule).collect()
}

/// Without a resolver, a container's query gets no answer, and its repetition after some seconds one of the resolver
/// that has come meanwhile. The packets are dropped before the kernel takes note of a connection, which would be left
/// untranslated for good. Programs in the host's network are refused at once, as they are without Docker.
fn drops(resolvers: &[Ipv4Addr]) -> String {
    if resolvers.is_empty() {
        format!("-A {CHAIN} -d {STAND_INS} ! -i lo -j DROP\n")
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_that_containers_reach() {
        for (text, want, out_of_reach) in [
            ("", vec![], false),
            ("search lan\n", vec![], false),
            (
                "nameserver 10.0.2.3\nsearch lan\n",
                vec![[10, 0, 2, 3]],
                false,
            ),
            (
                "nameserver 2001:db8::3\nnameserver 127.0.0.53\nnameserver 192.0.2.3\n",
                vec![[192, 0, 2, 3]],
                false,
            ),
            ("nameserver 2001:db8::3\n", vec![], true),
            ("nameserver 127.0.0.1\n", vec![], true),
            ("nameserver 169.254.53.2\n", vec![], true),
            (
                "nameserver 1.1.1.1\nnameserver 8.8.8.8\nnameserver 9.9.9.9\n",
                vec![[1, 1, 1, 1], [8, 8, 8, 8], [9, 9, 9, 9]],
                false,
            ),
        ] {
            let want: Vec<Ipv4Addr> = want.into_iter().map(Ipv4Addr::from).collect();
            assert_eq!(reachable(text), want, "{text}");
            assert_eq!(is_out_of_reach(text), out_of_reach, "{text}");
        }
    }

    fn targets(resolvers: &[[u8; 4]]) -> Vec<String> {
        let resolvers: Vec<Ipv4Addr> = resolvers.iter().copied().map(Ipv4Addr::from).collect();
        let rules = translations(&resolvers);
        let pair = |rule: &str| {
            let words: Vec<&str> = rule.split(' ').collect();
            format!("{} {} {}", words[3], words[5], words[13])
        };
        rules.lines().map(pair).collect()
    }

    #[test]
    fn each_address_leads_to_a_resolver() {
        assert_eq!(targets(&[]), [""; 0]);
        for (resolvers, want) in [
            (vec![[10, 0, 0, 1]], ["10.0.0.1"; 3]),
            (
                vec![[10, 0, 0, 1], [10, 0, 0, 2]],
                ["10.0.0.1", "10.0.0.2", "10.0.0.1"],
            ),
            (
                vec![[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]],
                ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            ),
            (
                vec![[10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3], [10, 0, 0, 4]],
                ["10.0.0.1", "10.0.0.2", "10.0.0.3"],
            ),
        ] {
            let both = |(from, to): (&Ipv4Addr, &&str)| {
                ["udp", "tcp"].map(|protocol| format!("{from}/32 {protocol} {to}"))
            };
            let want = RESOLVER_ADDRESSES.iter().zip(&want).flat_map(both);
            assert_eq!(targets(&resolvers), want.collect::<Vec<_>>());
        }
    }

    #[test]
    fn rules_replace_rules_and_keep_jumps() {
        let source =
            "-A TARE-DNS-SOURCE ! -o lo -m conntrack --ctorigdst 169.254.53.0/30 -j MASQUERADE\n";
        let none = format!(
            "*nat\n:TARE-DNS - [0:0]\n:TARE-DNS-SOURCE - [0:0]\n{source}\
            -I PREROUTING -j TARE-DNS\n-I OUTPUT -j TARE-DNS\n-I POSTROUTING -j TARE-DNS-SOURCE\nCOMMIT\n\
            *raw\n:TARE-DNS - [0:0]\n-A TARE-DNS -d 169.254.53.0/30 ! -i lo -j DROP\n\
            -I PREROUTING -j TARE-DNS\nCOMMIT\n"
        );
        assert_eq!(rules(&[], "", ""), none);
        let resolver = Ipv4Addr::new(10, 0, 2, 3);
        let translations = translations(&[resolver]);
        let one = format!(
            "*nat\n:TARE-DNS - [0:0]\n:TARE-DNS-SOURCE - [0:0]\n{translations}{source}COMMIT\n\
            *raw\n:TARE-DNS - [0:0]\nCOMMIT\n"
        );
        let nat =
            "-A PREROUTING -j TARE-DNS\n-A OUTPUT -j TARE-DNS\n-A POSTROUTING -j TARE-DNS-SOURCE\n";
        let raw = "-A PREROUTING -j TARE-DNS\n";
        assert_eq!(rules(&[resolver], nat, raw), one);
    }

    #[test]
    fn the_image_names_the_addresses() {
        let image: Value =
            serde_json::from_str(include_str!("../rootfs/etc/docker/daemon.json")).unwrap();
        let addresses = RESOLVER_ADDRESSES.map(|address| address.to_string());
        assert_eq!(image[OPTION], Value::from(addresses.to_vec()));
        let (network, _) = STAND_INS.split_once("/30").unwrap();
        let network = u32::from(network.parse::<Ipv4Addr>().unwrap());
        for address in RESOLVER_ADDRESSES {
            assert_eq!(u32::from(address) & !3, network, "{address}");
        }
    }
}
