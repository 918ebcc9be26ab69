//! Containers that start before the machine's lease, which then brings a resolver and addresses that Docker has taken.
//! And who reaches which published port.

use anyhow::Result;
use serde_json::json;
use tare_image::Image;
use tare_qemu::{Forward, Network, Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::{power_off, says, wait_says, well_on_the_console};

use super::{FETCH, prints};

/// QEMU's network has the first addresses that Docker takes. Its resolver is .2.3, and there need be none behind it.
const SUBNET: &str = "172.17.0.0/16";

/// On the console: containers that start with the engine, on the default network and on another.
const CONTAINERS: [&str; 3] = [
    "docker run -d --restart always --name early tare/demo sleep 999999",
    "docker network create a",
    "docker run -d --restart always --name named --network a tare/demo sleep 999999",
];

/// What `tare status` says.
const OVERLAP: &str = "docker0 (172.17.0.0/16) overlaps with eth0 (172.17.0.0/16)";

pub(crate) fn late_ones(image: &Image) -> Result<()> {
    let network = Network {
        subnet: Some(SUBNET.to_owned()),
        forwards: vec![Forward { host: 0, guest: 22 }],
        ..Network::default()
    };
    let machine = Vm::of(image).direct().user_data("").networks(vec![network]);
    let mut vm = without_cable(machine.boot()?)?;
    let mut checks = Checks::default();
    checks.check("Docker takes the addresses of the lease", || {
        for command in CONTAINERS {
            typed(&vm, command)?;
        }
        typed(&vm, "ip -4 -o address show docker0 | grep 172.17.0.1/16")
    });
    checks.check("the status says so", || {
        plug_in(&vm)?;
        let wait = format!("until tare status | grep -F '{OVERLAP}'; do sleep 1; done");
        typed(&vm, &wait)?;
        typed(
            &vm,
            &format!("tare logs --service engine | grep -F '{OVERLAP}'"),
        )
    });
    checks.check("power off", || power_off(&vm));
    vm = without_cable(vm.machine().clone().boot()?)?;
    checks.check("after a reboot it takes others", || {
        typed(
            &vm,
            "ip -4 -o address show docker0 | grep -v ' 172.17.' | grep ' inet '",
        )?;
        typed(&vm, "docker exec early grep 169.254.53.1 /etc/resolv.conf")?;
        plug_in(&vm)?;
        vm.wait_ssh(secs(60))?;
        wait_says(&vm, "tare status | grep -c overlaps", "0\n", secs(20))
    });
    checks.check("names, in a container that was there first", || {
        let looks = "docker run -d --name looks --privileged --network host tare/demo sleep 9999";
        vm.ssh_within(looks, secs(60))?;
        asks(&vm, "docker exec -d early", "src=172")
    });
    checks.check("names, in a network with names", || {
        says(
            &vm,
            "docker exec named grep -c 127.0.0.11 /etc/resolv.conf",
            "1\n",
        )?;
        asks(&vm, "docker exec -d named", "src=172.18")
    });
    checks.check("names, in the host's network", || {
        let run = "docker run -d --rm --network host tare/demo";
        asks(&vm, run, "src=169.254.53.1")
    });
    checks.check("power off again", || power_off(&vm));
    checks.verdict()
}

/// Pulls the cable before the kernel looks, and waits until the machine is ready without.
fn without_cable(vm: Vm) -> Result<Vm> {
    cable(&vm, false)?;
    vm.wait_ready()?;
    well_on_the_console(&vm, "true")?;
    Ok(vm)
}

fn plug_in(vm: &Vm) -> Result<()> {
    cable(vm, true)
}

fn cable(vm: &Vm, up: bool) -> Result<()> {
    let link = json!({"name": "net0", "up": up});
    vm.qmp().execute("set_link", &link).map(drop)
}

/// Has the console's shell run `command`, which must succeed.
fn typed(vm: &Vm, command: &str) -> Result<()> {
    let mark = vm.console().mark();
    vm.type_in(&format!("{command} && echo typed-$((40 + 2))\n"))?;
    vm.wait_line_after(mark, "typed-42", secs(90)).map(drop)
}

/// What a container asks goes to the resolver of the lease: the kernel's list of connections says so, whether the
/// resolver answers or not.
fn asks(vm: &Vm, container: &str, source: &str) -> Result<()> {
    let connection = format!("{source}[0-9.]* dst=169.254.53.1 .*src=172.17.2.3 dst=");
    let look = format!("docker exec looks grep '{connection}' /proc/net/nf_conntrack");
    // The kernel forgets an unanswered one after half a minute.
    let ask =
        format!("until {container} busybox nslookup late.example >&2; {look}; do sleep 1; done");
    vm.ssh_within(&ask, secs(120)).map(drop)
}

/// Prints the status of HTTP, 000 if there is no answer.
const CURL: &str = "curl -gs -m 10 -o /dev/null -w '%{http_code}' http://";

/// A port at 127.0.0.1 is for the machine, not for its neighbours.
pub(super) fn local_port(vm: &Vm) -> Result<()> {
    let run = "docker run -d --name local -p 127.0.0.1:8082:8080 tare/demo";
    vm.ssh_within(run, secs(60))?;
    says(vm, &format!("{CURL}127.0.0.1:8082/"), "200")?;
    says(vm, &format!("{CURL}10.0.2.15:8082/; true"), "000")?;
    let fetch = format!("{FETCH} http://10.0.2.15:8082/");
    prints(vm, "", &fetch, "refused\n")?;
    vm.ssh_within("docker rm -f local", secs(60)).map(drop)
}

/// With `[engine] userland-proxy = false`. The container `served` stays.
pub(super) fn without_proxies(vm: &Vm) -> Result<()> {
    let run =
        "docker network create b && docker run -d --network b --name served -p 8080:8080 tare/demo";
    vm.ssh_within(run, secs(60))?;
    says(vm, "pgrep -c docker-proxy; true", "0\n")?;
    for (address, want) in [("10.0.2.15", "200"), ("127.0.0.1", "200"), ("[::1]", "000")] {
        says(vm, &format!("{CURL}{address}:8080/; true"), want)?;
    }
    let fetch = format!("{FETCH} http://10.0.2.15:8080/");
    prints(vm, "", &fetch, "refused\n")
}
