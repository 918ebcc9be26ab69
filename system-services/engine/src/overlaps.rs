//! Docker's networks that overlap with one of the machine.
//!
//! dockerd gives a new network addresses for which there is no route yet. A lease or a VPN may bring the same ones
//! later, and then the machine does not reach that network. Docker cannot move a network but `docker0`, which has no
//! containers when dockerd starts after a boot: it gets an address that was chosen when the overlap was seen. New
//! networks get none that the machine's networks have had.

use crate::watch::Watch;
use anyhow::{Context, Result};
use sd_notify::NotifyState;
use serde_json::{Map, Value, json};
use std::fmt;
use std::fs;
use std::io::{self, ErrorKind};
use std::net::Ipv4Addr;
use std::path::Path;
use std::str::FromStr;

/// The main routing table of the host (proc_net(5)).
const ROUTES: &str = "/proc/net/route";
/// The links of the host's network; a bridge has a folder `bridge`.
const LINKS: &str = "/sys/class/net";
/// Routes with a shorter prefix stand for the default route: VPNs have one for each half of all addresses.
const LEAST_PREFIX: u32 = 8;

/// The link of the default network, and the beginning of other links' names, which is followed by twelve digits of the
/// network's id.
const DEFAULT_LINK: &str = "docker0";
const LINK_PREFIX: &str = "br-";

/// The machine's networks that Docker would have taken, the last one first; on the file system that dockerd writes to.
const SEEN: &str = "/var/lib/docker/tare-networks";
/// A machine that has been in more networks than this forgets the first ones.
const MOST_SEEN: usize = 16;
/// dockerd's option for the addresses of networks that name none.
const OPTION: &str = "default-address-pools";

/// The address and the prefix of `docker0` from the next boot on, if it overlaps with a network of the machine.
const MOVED: &str = "/var/lib/docker/tare-bip";
/// dockerd's option for it.
const BRIDGE_OPTION: &str = "bip";
/// Where `docker0` may move to. dockerd gives none of them to a network that names no addresses: it does not start with a
/// `bip` that a network has.
const MOVES: [Ipv4Addr; 5] = [
    Ipv4Addr::new(172, 16, 0, 0),
    Ipv4Addr::new(10, 213, 0, 0),
    Ipv4Addr::new(10, 214, 0, 0),
    Ipv4Addr::new(10, 215, 0, 0),
    Ipv4Addr::new(10, 216, 0, 0),
];
const MOVES_PREFIX: u32 = 16;

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Subnet {
    first: Ipv4Addr,
    /// Length in bits, 0 to 32.
    prefix: u32,
}

impl Subnet {
    fn overlaps(&self, other: &Self) -> bool {
        let shared = self.prefix.min(other.prefix);
        let differ = u32::from(self.first) ^ u32::from(other.first);
        differ.checked_shr(32 - shared).unwrap_or(0) == 0
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl FromStr for Subnet {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, prefix) = text.split_once('/').context("no prefix")?;
        let prefix = prefix.parse().ok().filter(|prefix| *prefix <= 32);
        Ok(Self {
            first: first.parse()?,
            prefix: prefix.context("no prefix of IPv4")?,
        })
    }
}

/// Where packets to a network go.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    link: String,
    subnet: Subnet,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.link, self.subnet)
    }
}

/// Reports overlaps in the log and in the service's status.
pub(crate) struct Overlaps {
    pub(crate) watch: Watch,
    reported: String,
}

impl Overlaps {
    pub(crate) fn new() -> Self {
        Self {
            watch: Watch::routes(),
            reported: String::new(),
        }
    }

    /// Looks again if a route has changed.
    pub(crate) fn follow(&mut self) {
        if self.watch.changed() {
            self.look();
        }
    }

    /// Looks at the routes.
    pub(crate) fn look(&mut self) {
        if let Err(error) = self.try_look() {
            eprintln!("network overlaps are not known: {error:#}");
        }
    }

    fn try_look(&mut self) -> Result<()> {
        let text = fs::read_to_string(ROUTES).context(ROUTES)?;
        let (docker, mut machine): (Vec<Route>, Vec<Route>) = routes(&text)
            .into_iter()
            .partition(|route| is_dockers(&route.link));
        // A bridge of Docker's with a name of its own may have been removed just now.
        machine.retain(|route| Path::new(LINKS).join(&route.link).exists());
        self.report(&problems(&docker, &machine))?;
        if let Some(bridge) = bridge_to_move(&docker, &machine) {
            choose(Path::new(MOVED), bridge, &docker, &machine).context(MOVED)?;
        }
        remember(Path::new(SEEN), &machine).context(SEEN)
    }

    fn report(&mut self, problems: &[String]) -> Result<()> {
        let status = problems.join("; ");
        if status == self.reported {
            return Ok(());
        }
        for problem in problems {
            eprintln!("<3>{problem}");
        }
        sd_notify::notify(&[NotifyState::Status(&status)]).context("notify")?;
        self.reported = status;
        Ok(())
    }
}

/// Bridges are Docker's; their names may be others than dockerd's.
fn is_dockers(link: &str) -> bool {
    link == DEFAULT_LINK
        || network_id(link).is_some()
        || Path::new(LINKS).join(link).join("bridge").exists()
}

/// The first digits of a network's id, if dockerd has named the link by them.
fn network_id(link: &str) -> Option<&str> {
    let id = link.strip_prefix(LINK_PREFIX)?;
    let is_id = id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

/// The routes of `text`, the kernel's table.
fn routes(text: &str) -> Vec<Route> {
    text.lines().skip(1).filter_map(route).collect()
}

/// Addresses are in hexadecimal, as numbers of the processor's byte order.
fn route(line: &str) -> Option<Route> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let address = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes);
    let link = *words.first()?;
    let subnet = Subnet {
        first: address(words.get(1)?)?.into(),
        prefix: u32::from(Ipv4Addr::from(address(words.get(7)?)?)).count_ones(),
    };
    // `*` is that of routes that refuse packets.
    let counts = !["lo", "*"].contains(&link) && subnet.prefix >= LEAST_PREFIX;
    counts.then(|| Route {
        link: link.to_owned(),
        subnet,
    })
}

/// A sentence for each of Docker's networks that overlaps with one of the machine.
fn problems(docker: &[Route], machine: &[Route]) -> Vec<String> {
    let problem = |ours: &Route| {
        let mut theirs = machine.iter();
        let theirs = theirs.find(|theirs| theirs.subnet.overlaps(&ours.subnet))?;
        let remedy = match network_id(&ours.link) {
            _ if ours.link == DEFAULT_LINK => {
                "it gets other addresses at the next reboot, unless [engine] sets `bip`".to_owned()
            }
            Some(id) => format!("`docker network rm {id}`, and create it again"),
            None => "remove its network, and create it again".to_owned(),
        };
        Some(format!("{ours} overlaps with {theirs}: {remedy}"))
    };
    docker.iter().filter_map(problem).collect()
}

/// `docker0`, if it overlaps with a network of the machine.
fn bridge_to_move<'a>(docker: &'a [Route], machine: &[Route]) -> Option<&'a Route> {
    let mut ours = docker.iter().filter(|route| route.link == DEFAULT_LINK);
    let overlaps = |ours: &Route| machine.iter().any(|m| m.subnet.overlaps(&ours.subnet));
    ours.find(|ours| overlaps(ours))
}

/// Records the address that `bridge` is to have at the next boot, unless the one recorded serves.
fn choose(file: &Path, bridge: &Route, docker: &[Route], machine: &[Route]) -> io::Result<()> {
    let taken: Vec<Subnet> = docker
        .iter()
        .chain(machine)
        .map(|route| route.subnet)
        .collect();
    let is_free = |subnet: &Subnet| !taken.iter().any(|taken| taken.overlaps(subnet));
    let chosen = moved(file)?;
    let serves = |chosen: &Subnet| is_free(chosen) && !chosen.overlaps(&bridge.subnet);
    if chosen.as_ref().is_some_and(serves) {
        return Ok(());
    }
    let candidate = |first| Subnet {
        first,
        prefix: MOVES_PREFIX,
    };
    match MOVES.map(candidate).iter().find(|subnet| is_free(subnet)) {
        Some(Subnet { first, prefix }) => {
            let address = Ipv4Addr::from(u32::from(*first) + 1);
            write(file, &format!("{address}/{prefix}\n"))
        }
        None => Ok(()),
    }
}

fn moved(file: &Path) -> io::Result<Option<Subnet>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Leaves `docker0` where dockerd puts it, because dockerd did not start. Another network may have the address.
pub(crate) fn forget() {
    match fs::remove_file(MOVED) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            eprintln!("<3>remove {MOVED}: {error}")
        }
        _ => {}
    }
}

fn write(file: &Path, text: &str) -> io::Result<()> {
    let written = file.with_extension("new");
    fs::write(&written, text)?;
    fs::rename(written, file)
}

/// Records the machine's networks that Docker could take.
fn remember(file: &Path, machine: &[Route]) -> io::Result<()> {
    let before = seen(file)?;
    let after = with(&before, machine);
    if after == before {
        return Ok(());
    }
    let lines: String = after.iter().map(|subnet| format!("{subnet}\n")).collect();
    write(file, &lines)
}

fn with(before: &[Subnet], machine: &[Route]) -> Vec<Subnet> {
    let pools = pools();
    let could_be_taken = |subnet: &&Subnet| pools.iter().any(|pool| pool.overlaps(subnet));
    let now = machine.iter().map(|route| &route.subnet);
    let mut after: Vec<Subnet> = Vec::new();
    let new = now.filter(|subnet| !before.contains(subnet));
    for subnet in new.filter(could_be_taken).chain(before) {
        if !after.contains(subnet) {
            after.push(*subnet);
        }
    }
    after.truncate(MOST_SEEN);
    after
}

fn seen(file: &Path) -> io::Result<Vec<Subnet>> {
    match fs::read_to_string(file) {
        Ok(text) => Ok(text.lines().filter_map(|line| line.parse().ok()).collect()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// Keeps dockerd from giving new networks addresses that the machine's networks have had, and moves `docker0`. dockerd
/// would leave out those that it sees itself, but the lease may come later.
pub(crate) fn adapt(options: &mut Map<String, Value>) {
    match moved(Path::new(MOVED)) {
        Ok(Some(address)) => {
            options.insert(BRIDGE_OPTION.to_owned(), address.to_string().into());
        }
        Ok(None) => {}
        Err(error) => eprintln!("<3>{MOVED}: {error}"),
    }
    let seen = seen(Path::new(SEEN)).unwrap_or_else(|error| {
        eprintln!("{SEEN}: {error}");
        Vec::new()
    });
    if let Some(pools) = free(&seen) {
        options.insert(OPTION.to_owned(), pools);
    }
}

/// The addresses that are left, unless these are all, or none.
fn free(seen: &[Subnet]) -> Option<Value> {
    let all = pools();
    let is_free = |pool: &&Subnet| !seen.iter().any(|seen| seen.overlaps(pool));
    let free: Vec<&Subnet> = all.iter().filter(is_free).collect();
    let pool = |pool: &&Subnet| json!({"base": pool.to_string(), "size": pool.prefix});
    let is_some = !free.is_empty() && free.len() < all.len();
    is_some.then(|| free.iter().map(pool).collect())
}

/// dockerd's own addresses for networks that name none, in its order (moby 26.1, libnetwork/ipamutils).
fn pools() -> Vec<Subnet> {
    let wide = (17..=31).map(|second| Ipv4Addr::new(172, second, 0, 0));
    let narrow = (0..=15).map(|part| Ipv4Addr::new(192, 168, part << 4, 0));
    let of = |prefix| move |first| Subnet { first, prefix };
    wide.map(of(16)).chain(narrow.map(of(20))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    fn on(link: &str, text: &str) -> Route {
        Route {
            link: link.to_owned(),
            subnet: subnet(text),
        }
    }

    #[test]
    fn networks_overlap() {
        for (one, other, want) in [
            ("172.17.0.0/16", "172.17.0.0/16", true),
            ("172.17.0.0/16", "172.17.2.0/24", true),
            ("172.16.0.0/12", "172.17.0.0/16", true),
            ("172.17.0.0/16", "172.18.0.0/16", false),
            ("10.0.2.0/24", "10.0.3.0/24", false),
            ("10.0.2.3/32", "10.0.2.3/32", true),
            ("10.0.2.3/32", "10.0.2.2/32", false),
            ("0.0.0.0/0", "10.0.2.2/32", true),
        ] {
            let (one, other) = (subnet(one), subnet(other));
            let found = [one.overlaps(&other), other.overlaps(&one)];
            assert_eq!(found, [want; 2], "{one} {other}");
        }
        for (text, want) in [
            ("10.0.0.0", "no prefix"),
            ("10.0.0.0/33", "no prefix of IPv4"),
        ] {
            assert_eq!(text.parse::<Subnet>().unwrap_err().to_string(), want);
        }
    }

    #[cfg(target_endian = "little")]
    #[test]
    fn the_kernels_table() {
        let text = "\
            Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t0202000A\t0003\t0\t0\t2\t00000000\t0\t0\t0\n\
            tun0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0\n\
            eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            *\t0000330A\t00000000\t0200\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            junk\n";
        let want = [on("eth0", "10.0.2.0/24"), on("docker0", "172.17.0.0/16")];
        assert_eq!(routes(text), want);
    }

    #[test]
    fn each_overlap_has_a_remedy() {
        let docker = [
            on("docker0", "172.17.0.0/16"),
            on("br-0123456789ab", "172.18.0.0/16"),
            on("br-ba9876543210", "172.19.0.0/16"),
            on("lan0", "172.20.0.0/16"),
            on("br-cccccccccccc", "172.21.0.0/16"),
        ];
        let apart = [on("eth0", "10.0.2.0/24")];
        assert_eq!(problems(&docker, &apart), [""; 0]);
        let machine = [
            on("eth0", "172.17.0.0/16"),
            on("wg0", "172.18.9.0/24"),
            on("eth1", "172.19.0.0/16"),
            on("eth2", "172.20.0.0/16"),
        ];
        let want = [
            "docker0 (172.17.0.0/16) overlaps with eth0 (172.17.0.0/16): \
                it gets other addresses at the next reboot, unless [engine] sets `bip`",
            "br-0123456789ab (172.18.0.0/16) overlaps with wg0 (172.18.9.0/24): \
                `docker network rm 0123456789ab`, and create it again",
            "br-ba9876543210 (172.19.0.0/16) overlaps with eth1 (172.19.0.0/16): \
                `docker network rm ba9876543210`, and create it again",
            "lan0 (172.20.0.0/16) overlaps with eth2 (172.20.0.0/16): \
                remove its network, and create it again",
        ];
        assert_eq!(problems(&docker, &machine), want);
    }

    #[test]
    fn links_that_dockerd_has_named() {
        for (link, want) in [
            ("br-0123456789ab", Some("0123456789ab")),
            ("br-lan", None),
            ("br-0123456789abc", None),
            ("eth0", None),
        ] {
            assert_eq!(network_id(link), want, "{link}");
        }
    }

    #[test]
    fn the_bridge_moves_to_what_is_free() {
        let folder = std::env::temp_dir().join(format!("tare-bip-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("bip");
        let docker = [
            on("docker0", "172.17.0.0/16"),
            on("br-0123456789ab", "172.18.0.0/16"),
        ];
        let lan = on("eth0", "172.17.0.0/16");
        assert_eq!(
            bridge_to_move(&docker, &[on("eth0", "172.18.0.0/16")]),
            None
        );
        for (machine, want) in [
            (vec![lan.clone()], "172.16.0.1/16"),
            (
                vec![lan.clone(), on("wg0", "172.16.0.0/12")],
                "10.213.0.1/16",
            ),
            // The one that was chosen still serves.
            (vec![lan.clone()], "10.213.0.1/16"),
            (vec![lan.clone(), on("wg0", "10.0.0.0/8")], "172.16.0.1/16"),
            // Nothing is free.
            (
                vec![lan, on("wg0", "10.0.0.0/8"), on("wg1", "172.16.0.0/16")],
                "172.16.0.1/16",
            ),
        ] {
            let bridge = bridge_to_move(&docker, &machine).unwrap();
            choose(&file, bridge, &docker, &machine).unwrap();
            let chosen = moved(&file).unwrap().map(|subnet| subnet.to_string());
            assert_eq!(chosen.as_deref(), Some(want));
        }
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn docker_gets_what_is_left() {
        let bases = |seen: &[&str]| {
            let seen: Vec<Subnet> = seen.iter().map(|text| subnet(text)).collect();
            let pools = free(&seen)?;
            let pools = pools.as_array().unwrap().iter();
            Some(
                pools
                    .map(|pool| pool["base"].as_str().unwrap().to_owned())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(bases(&[]), None);
        assert_eq!(bases(&["10.0.0.0/8"]), None);
        // Everything is taken: dockerd decides.
        assert_eq!(bases(&["172.16.0.0/12", "192.168.0.0/16"]), None);
        let left = bases(&["172.17.0.0/16", "192.168.1.0/24"]).unwrap();
        assert_eq!(left.len(), 29);
        assert_eq!(
            [&*left[0], &*left[14]],
            ["172.18.0.0/16", "192.168.16.0/20"]
        );
        let left = bases(&["172.16.0.0/12"]).unwrap();
        assert_eq!(
            [&*left[0], &*left[15]],
            ["192.168.0.0/20", "192.168.240.0/20"]
        );
        let pools = free(&[subnet("172.17.0.0/16")]).unwrap();
        assert_eq!(pools[0], json!({"base": "172.18.0.0/16", "size": 16}));
        assert_eq!(pools[14], json!({"base": "192.168.0.0/20", "size": 20}));
    }

    #[test]
    fn networks_that_docker_could_take_are_remembered() {
        let file = std::env::temp_dir().join(format!("tare-networks-{}", std::process::id()));
        remember(&file, &[on("eth0", "10.0.2.0/24")]).unwrap();
        assert!(!file.exists());
        for (machine, want) in [
            (vec![on("eth0", "172.17.0.0/16")], "172.17.0.0/16\n"),
            (
                vec![on("eth0", "192.168.1.0/24"), on("wg0", "192.168.1.0/24")],
                "192.168.1.0/24\n172.17.0.0/16\n",
            ),
            (
                vec![on("eth0", "172.17.0.0/16")],
                "192.168.1.0/24\n172.17.0.0/16\n",
            ),
            (vec![], "192.168.1.0/24\n172.17.0.0/16\n"),
        ] {
            remember(&file, &machine).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), want);
        }
        fs::remove_file(&file).unwrap();
        let many: Vec<Route> = (0..20)
            .map(|n| on("eth0", &format!("172.17.{n}.0/24")))
            .collect();
        let kept = with(&[subnet("172.18.0.0/16")], &many);
        assert_eq!(kept.len(), MOST_SEEN);
        assert_eq!(kept[15], subnet("172.17.15.0/24"));
    }
}
