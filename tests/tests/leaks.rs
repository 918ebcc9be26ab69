//! What has ended leaves nothing: containers, runs of services, boots.

use anyhow::{Context, Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, wait_apps};
use tare_tests::{Checks, disk, on_machines, user_data};

/// Enough to see one that is left each time.
const SHORT: usize = 15;
const LONG: usize = 1000;
/// In one session of ssh.
const BATCH: usize = 10;
/// Boots of one disk in a row.
const BOOTS: usize = 100;

#[test]
fn nothing_is_left_of_containers() -> Result<()> {
    come_and_go("docker run --rm tare/demo true", SHORT)
}

#[test]
fn nothing_is_left_of_restarts() -> Result<()> {
    come_and_go("tare service restart time", SHORT)
}

#[test]
#[ignore = "takes an hour in emulation: cargo test -p tare-tests --test leaks -- --ignored"]
fn nothing_is_left_of_a_thousand_containers() -> Result<()> {
    come_and_go("docker run --rm tare/demo true", LONG)
}

#[test]
#[ignore = "takes half an hour in emulation: cargo test -p tare-tests --test leaks -- --ignored"]
fn nothing_is_left_of_a_thousand_restarts() -> Result<()> {
    come_and_go("tare service restart time", LONG)
}

fn come_and_go(what: &str, times: usize) -> Result<()> {
    on_machines(|image| {
        let vm = Vm::of(image).direct().user_data(user_data::DEMO).boot()?;
        vm.wait_ready()?;
        wait_apps(&vm)?;
        // The first leave what stays: a module, a cache.
        repeat(&vm, what, 2)?;
        let before = Inventory::of(&vm)?;
        let mut checks = Checks::default();
        checks.check(what, || repeat(&vm, what, times));
        checks.check("nothing is left", || before.require_same(&vm));
        checks.check("power off", || power_off(&vm));
        checks.check("clean file system", || {
            disk::require_clean_state(vm.machine())
        });
        checks.verdict()
    })
}

/// A few in each session of ssh, whose own start takes as long as they do.
fn repeat(vm: &Vm, what: &str, times: usize) -> Result<()> {
    (0..times).step_by(BATCH).try_for_each(|done| {
        let some = BATCH.min(times - done);
        let script = format!("set -e; for _ in $(seq {some}); do {what}; done");
        vm.ssh_within(&script, secs(60))
            .with_context(|| format!("after {done}"))
            .map(drop)
    })
}

/// What the kernel and PID 1 keep.
#[derive(Debug, PartialEq, Eq)]
struct Inventory {
    /// Numbers of things, by their names.
    things: String,
    /// PID 1's memory in KiB.
    rss: u32,
}

/// Mounts of the host, open files of PID 1, namespaces, cgroups with a process or none, processes that nobody has
/// reaped, and block devices.
const COUNT: &str = "\
    echo mounts $(wc -l < /proc/1/mountinfo); \
    echo files $(ls /proc/1/fd | wc -l); \
    echo namespaces $(docker run --rm --privileged --pid host tare/demo sh -c 'ls -l /proc/[0-9]*/ns' 2>/dev/null | sed -n 's/.* -> //p' | sort -u | wc -l); \
    echo cgroups $(docker run --rm --privileged --cgroupns host tare/demo busybox find /sys/fs/cgroup -type d | wc -l); \
    echo zombies $(ps -eo stat= | grep -c '^Z'); \
    echo disks $(ls /sys/block)";

impl Inventory {
    fn of(vm: &Vm) -> Result<Self> {
        let rss = vm.ssh("awk '/^VmRSS/ {print $2}' /proc/1/status")?;
        let things = vm.ssh_within(COUNT, secs(30))?;
        for nothing in ["namespaces 0\n", "cgroups 0\n"] {
            ensure!(!things.contains(nothing), "not counted: {things}");
        }
        println!("{things}");
        Ok(Self {
            things,
            rss: rss.trim().parse().context("VmRSS")?,
        })
    }

    /// Namespaces of a container that has just ended go a moment later.
    fn require_same(&self, vm: &Vm) -> Result<()> {
        let mut now = Self::of(vm)?;
        for _ in 0..10 {
            if now.things == self.things {
                break;
            }
            vm.ssh("sleep 1")?;
            now = Self::of(vm)?;
        }
        ensure!(now.things == self.things, "{self:?} and then {now:?}");
        ensure!(now.rss < self.rss + 1024, "{self:?} and then {now:?}");
        Ok(())
    }
}

#[test]
#[ignore = "takes a quarter of an hour in emulation: cargo test -p tare-tests --test leaks -- --ignored"]
fn a_hundred_reboots() -> Result<()> {
    on_machines(|image| {
        let vm = Vm::of(image).direct().user_data("").boot()?;
        vm.wait_ready()?;
        for boot in 1..=BOOTS {
            let mark = vm.console().mark();
            vm.wait_ssh(secs(20))?;
            vm.ssh("tare status --check && tare reboot")
                .with_context(|| format!("boot {boot}"))?;
            let again = |text| vm.wait_line_after(mark, text, secs(60));
            again("tare: rebooting: state unmounted").with_context(|| format!("boot {boot}"))?;
            again("tare: ready").with_context(|| format!("boot {boot}"))?;
        }
        power_off(&vm)?;
        disk::require_clean_state(vm.machine())
    })
}
