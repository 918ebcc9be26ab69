//! Containers, runs of services and boots leave nothing behind.

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, settled, wait_apps};
use tare_tests::{Checks, disk, note, user_data};

/// Enough to notice a leak of one each time.
const SHORT: usize = 8;
const LONG: usize = 1000;
/// In KiB: pages that the allocator happens to touch. Over the second half of the short run that is 16 KiB each.
const TOUCHED: u32 = 64;
/// In one ssh session.
const BATCH: usize = 10;
/// Containers that run at the same time.
const PAIR: usize = 2;
/// Boots of one disk in a row.
const BOOTS: usize = 100;

pub(crate) fn nothing_is_left_of_containers(image: &Image) -> Result<()> {
    come_and_go(image, "docker run --rm tare/demo true", SHORT, PAIR)
}

pub(crate) fn nothing_is_left_of_restarts(image: &Image) -> Result<()> {
    come_and_go(image, "tare service restart time", 2 * SHORT, 1)
}

/// Changes that start nothing: a service is supervised otherwise, and goes on.
const CHANGES: &str = "tare config set services.time.lifecycle.stop.grace 3s && tare config set services.time.lifecycle.stop.grace 4s";

pub(crate) fn nothing_is_left_of_changes(image: &Image) -> Result<()> {
    come_and_go(image, CHANGES, 2 * SHORT, 1)
}

pub(crate) fn nothing_is_left_of_a_thousand_changes(image: &Image) -> Result<()> {
    come_and_go(image, CHANGES, LONG, 1)
}

pub(crate) fn nothing_is_left_of_a_thousand_containers(image: &Image) -> Result<()> {
    come_and_go(image, "docker run --rm tare/demo true", LONG, PAIR)
}

pub(crate) fn nothing_is_left_of_a_thousand_restarts(image: &Image) -> Result<()> {
    come_and_go(image, "tare service restart time", LONG, 1)
}

fn come_and_go(image: &Image, what: &str, times: usize, at_once: usize) -> Result<()> {
    let vm = Vm::of(image).direct().user_data(user_data::DEMO).boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    // The first runs leave a module or a cache behind.
    repeat(&vm, what, 2, at_once)?;
    let before = Inventory::of(&vm)?;
    let mut checks = Checks::default();
    checks.check(what, || repeat(&vm, what, times / 2, at_once));
    let half = memory(&vm)?;
    checks.check("and again", || repeat(&vm, what, times / 2, at_once));
    checks.check("nothing is left", || before.require_same(&vm));
    checks.check("PID 1 has not grown", || {
        let now = memory(&vm)?;
        note(&format!("PID 1: {half} KiB half way, {now} KiB now"));
        ensure!(now <= half + TOUCHED, "{half} KiB and then {now} KiB");
        Ok(())
    });
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// A few in each ssh session, because starting a session takes as long as they do.
fn repeat(vm: &Vm, what: &str, times: usize, at_once: usize) -> Result<()> {
    (0..times).step_by(BATCH).try_for_each(|done| {
        let each = BATCH.min(times - done) / at_once;
        let script = format!(
            "set -e; for _ in $(seq {at_once}); do ( for _ in $(seq {each}); do {what}; done ) & all+=\" $!\"; done; \
             for one in $all; do wait $one; done"
        );
        vm.ssh_within(&script, secs(60))
            .with_context(|| format!("after {done}"))
            .map(drop)
    })
}

/// What the kernel and PID 1 hold.
#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    /// Counts by name.
    things: String,
}

/// PID 1's memory in KiB, without its file pages, which the kernel drops and reads again at will.
fn memory(vm: &Vm) -> Result<u32> {
    let anonymous = vm.ssh("awk '/^RssAnon/ {print $2}' /proc/1/status")?;
    anonymous.trim().parse().context("RssAnon")
}

/// Mounts of the host, open files of PID 1, namespaces, cgroups with or without processes, zombies, and block
/// devices.
const COUNT: &str = "\
    echo mounts $(wc -l < /proc/1/mountinfo); \
    echo files $(ls /proc/1/fd | wc -l); \
    docker run --rm --privileged --pid host --cgroupns host tare/demo sh -c '\
        echo namespaces $(ls -l /proc/[0-9]*/ns 2>/dev/null | sed -n \"s/.* -> //p\" | busybox sort -u | wc -l); \
        echo cgroups $(busybox find /sys/fs/cgroup -type d | wc -l)'; \
    echo zombies $(ps -eo stat= | grep -c '^Z'); \
    echo disks $(ls /sys/block)";

fn count(vm: &Vm) -> Result<String> {
    let things = vm.ssh_within(COUNT, secs(30))?;
    for nothing in ["namespaces 0\n", "cgroups 0\n"] {
        ensure!(!things.contains(nothing), "not counted: {things}");
    }
    note(&things);
    Ok(things)
}

impl Inventory {
    /// Namespaces of a container that has just ended disappear a moment later.
    fn of(vm: &Vm) -> Result<Self> {
        Ok(Self {
            things: settled(vm, count)?,
        })
    }

    fn require_same(&self, vm: &Vm) -> Result<()> {
        let now = Self::of(vm)?;
        ensure!(now.things == self.things, "{self:?} and then {now:?}");
        Ok(())
    }
}

pub(crate) fn a_hundred_reboots(image: &Image) -> Result<()> {
    let vm = Vm::of(image).direct().user_data("").boot()?;
    vm.wait_ready()?;
    for boot in 1..=BOOTS {
        let mark = vm.console().mark();
        vm.wait_ssh(secs(20))?;
        vm.ssh_to_the_end("tare status --check && tare reboot")
            .with_context(|| format!("boot {boot}"))?;
        let context = || format!("boot {boot}");
        vm.wait_line_after(mark, "tare: rebooting: state unmounted", secs(60))
            .with_context(context)?;
        vm.wait_ready_after(mark, secs(60)).with_context(context)?;
    }
    power_off(&vm)?;
    disk::require_clean_state(vm.machine())
}
