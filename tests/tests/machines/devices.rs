//! A machine boots whatever its network and clock, and tolerates devices that come and go.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{
    fetch_page, power_off, require_no_failed_service, says, settled, wait_apps, wait_off,
    wait_says, well_on_the_console,
};
use tare_tests::{Checks, disk, user_data};

/// How often a device comes and goes.
const TIMES: usize = 100;
/// A card on a network without DHCP.
const DEAF_CARD: [&str; 4] = [
    "-netdev",
    "user,id=deaf,ipv4=off",
    "-device",
    "virtio-net-pci,netdev=deaf,romfile=",
];
/// A bus for hot-plugging.
const USB: [&str; 2] = ["-device", "qemu-xhci,id=usb"];

pub(crate) fn without_a_network_in_1970(image: &Image) -> Result<()> {
    let user_data = format!(
        "{}services.trim.lifecycle.schedule = '*:*:*'\n",
        user_data::NO_ENGINE
    );
    let vm = Vm::of(image)
        .direct()
        .user_data(&user_data)
        .networks(Vec::new())
        .qemu(&["-rtc", "base=1970-01-02T00:00:00"])
        .boot()?;
    vm.wait_line(
        "tare: the clock was behind; set it to the image's time",
        secs(20),
    )?;
    vm.wait_ready()?;
    well_on_the_console(&vm, "[ $(date +%s) -ge $(stat -c %Y /usr/bin/bash) ]")?;
    // Nothing has set the clock.
    let never = "sleep 3; tare service show trim --json | grep -q '\"starts\": 0'";
    well_on_the_console(&vm, never)?;
    shows_on_the_console(&vm, "tare status --check")
}

pub(crate) fn with_a_network_that_is_silent_in_2038(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(user_data::NO_ENGINE)
        .networks(Vec::new())
        .qemu(&DEAF_CARD)
        .qemu(&["-rtc", "base=2038-01-20T00:00:00"])
        .boot()?;
    let named = "tare status --check | grep -q ' has a carrier, but no lease by DHCP'";
    shows_on_the_console(&vm, named)
}

/// All required services run, and the console, the only way in, shows that `command` succeeds.
fn shows_on_the_console(vm: &Vm, command: &str) -> Result<()> {
    vm.wait_ready()?;
    well_on_the_console(vm, command)?;
    vm.power_button()?;
    wait_off(vm)?;
    disk::require_clean_state(vm.machine())
}

pub(crate) fn devices_come_and_go(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(user_data::DEMO)
        .forward(80)
        .qemu(&USB)
        .boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    let mut checks = Checks::default();
    // The first plug may load a module.
    checks.check("a device", || plug(&vm, 1));
    let before = pid_1(&vm)?;
    checks.check("100 devices", || plug(&vm, TIMES));
    checks.check("a cable, 100 times", || flap(&vm));
    checks.check("a container that takes the network down", || down(&vm));
    checks.check("10000 events", || events(&vm));
    checks.check("PID 1 is as before", || {
        let after = pid_1(&vm)?;
        ensure!(after.files == before.files, "{before:?} and then {after:?}");
        ensure!(
            after.rss < before.rss + 1024,
            "{before:?} and then {after:?}"
        );
        Ok(())
    });
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// Plugs a keyboard in, sees it once, and unplugs it.
fn plug(vm: &Vm, times: usize) -> Result<()> {
    const KEYBOARDS: &str = "grep -c 'QEMU USB Keyboard' /proc/bus/input/devices || true";
    let keyboard = json!({"driver": "usb-kbd", "id": "hot", "bus": "usb.0"});
    let wait = |count| {
        let wait = format!("until [ $({KEYBOARDS}) = {count} ]; do sleep 0.2; done");
        vm.ssh_within(&wait, secs(30)).map(drop)
    };
    for time in 0..times {
        let plugged = vm.qmp().execute("device_add", &keyboard);
        plugged.with_context(|| format!("time {time}"))?;
        if time == 0 {
            wait(1).context("it is not there")?;
        }
        // Alternately long enough to be detected, and too short.
        std::thread::sleep(Duration::from_millis(if time % 2 == 0 { 300 } else { 20 }));
        vm.qmp().execute("device_del", &json!({"id": "hot"}))?;
        vm.qmp().wait_event("DEVICE_DELETED", vm.scaled(secs(10)))?;
    }
    wait(0).context("one is left")
}

/// On the console: prints the number of carrier changes whenever it changes.
const WATCH_CABLE: &str = "while now=$(</sys/class/net/eth0/carrier_changes); do \
    [ \"$now\" = \"$last\" ] || echo \"cable <$now>\"; last=$now; sleep 0.1; done &\n";

/// The state of the machine's network.
const NETWORK: &str = "ip -brief address; ip route; ip -6 route | sed 's/ expires.*//' | sort";

/// The kernel removes the default route and the IPv6 addresses of a link that goes down.
fn down(vm: &Vm) -> Result<()> {
    let before = settled(vm, |vm| vm.ssh(NETWORK))?;
    let mark = vm.console().mark();
    well_on_the_console(vm, "true")?;
    let run = "docker run --rm --net host --cap-add NET_ADMIN tare/demo sh -c";
    let command = "ip link set eth0 down && echo down-$((40 + 2))";
    vm.type_in(&format!("{run} '{command}'\n"))?;
    vm.wait_line_after(mark, "down-42", secs(30))?;
    wait_says(vm, NETWORK, &before, secs(20))?;
    fetch_page(vm)
}

/// Unplugs the cable of the only card and plugs it back in, each time once the machine has noticed. Addresses and
/// routes stay, and the machine stays reachable.
fn flap(vm: &Vm) -> Result<()> {
    let before = settled(vm, |vm| vm.ssh(NETWORK))?;
    // The console reports what the network cannot.
    well_on_the_console(vm, "true")?;
    let mut changes = carrier_changes(vm)?;
    let mark = vm.console().mark();
    let seen = |changes| {
        vm.wait_line_after(mark, &format!("cable <{changes}>"), secs(10))
            .map(drop)
    };
    vm.type_in(WATCH_CABLE)?;
    seen(changes)?;
    for time in 0..TIMES {
        for up in [false, true] {
            vm.qmp()
                .execute("set_link", &json!({"name": "net0", "up": up}))?;
            changes += 1;
            seen(changes).with_context(|| format!("time {time}"))?;
        }
    }
    vm.type_in("kill %1\n")?;
    fetch_page(vm)?;
    // PID 1 may learn of the last change a second later.
    wait_says(vm, NETWORK, &before, secs(20))?;
    says(vm, "tare status --check > /dev/null; echo $?", "0\n")
}

/// How often the guest's card gained or lost its carrier.
fn carrier_changes(vm: &Vm) -> Result<usize> {
    let changes = vm.ssh("cat /sys/class/net/e*/carrier_changes")?;
    Ok(changes.trim().parse()?)
}

/// Makes the kernel send ten thousand change events, faster than PID 1 can react, and a thousand add events of a
/// device that needs a module.
fn events(vm: &Vm) -> Result<()> {
    let tell = "\
        i=0; while [ $i -lt 10000 ]; do echo change > /sys/class/mem/null/uevent; i=$((i + 1)); done; \
        set -- /sys/bus/pci/devices/*; grep -q ^MODALIAS= $1/uevent || exit 1; \
        i=0; while [ $i -lt 1000 ]; do echo add > $1/uevent; i=$((i + 1)); done";
    vm.ssh_within(
        &format!("docker run --rm --privileged tare/demo sh -c '{tell}'"),
        secs(60),
    )?;
    says(vm, "tare status --check > /dev/null; echo $?", "0\n")
}

/// What PID 1 uses: open files, and memory in KiB.
#[derive(Debug)]
struct Pid1 {
    files: u32,
    rss: u32,
}

fn pid_1(vm: &Vm) -> Result<Pid1> {
    let number = |vm: &Vm, command| -> Result<u32> { Ok(vm.ssh(command)?.trim().parse()?) };
    Ok(Pid1 {
        files: settled(vm, |vm| number(vm, "ls /proc/1/fd | wc -l"))?,
        rss: number(vm, "awk '/^VmRSS/ {print $2}' /proc/1/status")?,
    })
}
