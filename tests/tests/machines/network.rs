//! A network without DHCP, next to one with it; and cards of other kinds.

use std::net::Ipv4Addr;

use anyhow::Result;
use tare_image::Image;
use tare_qemu::{Forward, Network, Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::{mentions, power_off, require_no_failed_service, says, wait_off};
use tare_tests::user_data::NO_ENGINE;

/// QEMU's network for it has the gateway .2. (The addresses are reserved for documentation.)
const USER_DATA: &str = "
hostname = 'edge-17'

[network]
dns = ['192.0.2.3', '2001:db8::3']
search = ['tare.example']

[network.interfaces.eth0]
addresses = ['192.0.2.10/24', '2001:db8::10/64']
gateway = ['192.0.2.2', '2001:db8::2']
mtu = 1400
";

const RESOLV_CONF: &str = "nameserver 192.0.2.3\nnameserver 2001:db8::3\nsearch tare.example\n";

pub(crate) fn addresses_of_user_data(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(&format!("{NO_ENGINE}{USER_DATA}"))
        .networks(vec![network(), second()])
        .boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(10))?;
    let mut checks = Checks::default();
    checks.check("IPv4", || {
        mentions(&vm, "ip -4 -o addr show dev eth0", "inet 192.0.2.10/24")
    });
    checks.check("IPv6", || {
        mentions(&vm, "ip -6 -o addr show dev eth0", "inet6 2001:db8::10/64")
    });
    checks.check("IPv4 route", || {
        mentions(&vm, "ip -4 route", "default via 192.0.2.2 dev eth0")
    });
    checks.check("IPv6 route", || {
        mentions(&vm, "ip -6 route", "default via 2001:db8::2 dev eth0")
    });
    checks.check("a second way out", || {
        // The lease may arrive late.
        let wait = "until ip route show default | grep -q eth1; do sleep 0.2; done";
        vm.ssh_within(wait, secs(30))?;
        let routes = "ip -4 route show default | awk '{ print $3, $5 }'";
        says(&vm, routes, "192.0.2.2 eth0\n198.51.100.2 eth1\n")
    });
    checks.check("packet size", || {
        mentions(&vm, "ip link show dev eth0", "mtu 1400")
    });
    checks.check("sshd on IPv6", || {
        mentions(&vm, "head -c 4 < /dev/tcp/2001:db8::10/22", "SSH-")
    });
    checks.check("resolvers", || {
        says(&vm, "cat /etc/resolv.conf", RESOLV_CONF)
    });
    checks.check("name", || {
        says(&vm, "hostname; cat /etc/hostname", "edge-17\nedge-17\n")
    });
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("power off by SIGTERM to PID 1", || {
        vm.ssh_to_the_end("kill -TERM 1")?;
        wait_off(&vm)
    });
    checks.verdict()
}

fn network() -> Network {
    Network {
        subnet: Some("192.0.2.0/24".to_owned()),
        guest: Some(Ipv4Addr::new(192, 0, 2, 10)),
        forwards: vec![Forward { host: 0, guest: 22 }],
        isolated: true,
        ..Network::default()
    }
}

/// QEMU announces a gateway only if it leads somewhere.
fn second() -> Network {
    Network {
        subnet: Some("198.51.100.0/24".to_owned()),
        ..Network::default()
    }
}

/// The only network with a way out has a card whose driver is a module; the other card does not support this MTU.
const CARDS: &str = "
[network.interfaces.eth0]
addresses = ['198.51.100.10/24']
mtu = 9000
";

pub(crate) fn cards_of_other_kinds(image: &Image) -> Result<()> {
    let card = |name: &str, network| Network {
        card: Some(name.to_owned()),
        ..network
    };
    let out = Network {
        forwards: vec![Forward { host: 0, guest: 22 }],
        ..Network::default()
    };
    let beside = card("virtio-net-pci,host_mtu=1500", second());
    let vm = Vm::of(image)
        .direct()
        .user_data(&format!("{NO_ENGINE}{CARDS}"))
        .networks(vec![card("e1000e", out), beside])
        .boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    let mut checks = Checks::default();
    checks.check("up in spite of its size", || {
        let link = "ip -o link show eth0 | grep -o 'LOWER_UP\\|mtu [0-9]*'";
        says(&vm, link, "LOWER_UP\nmtu 1500\n")?;
        mentions(&vm, "tare logs --grep MTU", "MTU 9000")
    });
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}
