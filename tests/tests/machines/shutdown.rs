//! Ways to shut a machine down, and the order of events.

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::{Machine, Vm, secs};
use tare_tests::guest::{stamp, wait_off};
use tare_tests::{Checks, asleep, disk, user_data};

/// Shows PID 1's messages for debugging: each service's change of state.
const EVERYTHING: &str = "loglevel=8";

/// One service waits for another, and stops before it.
const ORDER: &str = "
[services.console.lifecycle]
after = ['ssh:ready']
";

pub(crate) fn services_stop_in_reverse_order_however_it_is_asked_for(image: &Image) -> Result<()> {
    let machine = Vm::of(image)
        .direct()
        .append(EVERYTHING)
        .user_data(&format!("{}{ORDER}", user_data::DEMO))
        .machine()?;
    let mut checks = Checks::default();
    checks.check("ctrl-alt-del", || ends(&machine, Vm::ctrl_alt_del));
    checks.check("SIGTERM to PID 1", || {
        ends(&machine, |vm| vm.ssh_to_the_end("kill -TERM 1"))
    });
    checks.check("SIGRTMIN+4 to PID 1", || {
        ends(&machine, |vm| vm.ssh_to_the_end("kill -RTMIN+4 1"))
    });
    checks.check("power button, twice", || {
        ends(&machine, |vm| {
            vm.power_button().and_then(|()| vm.power_button())
        })
    });
    checks.verdict()
}

pub(crate) fn a_disk_that_takes_no_writes_does_not_keep_the_machine_on(
    image: &Image,
) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(user_data::NO_ENGINE)
        // The kernel names processes that have waited for the disk for two minutes.
        .tolerate("Call Trace")
        .boot()?;
    vm.wait_ready()?;
    vm.ssh("head -c 4M /dev/urandom > /root/unwritten")?;
    vm.qmp().slow_disk(1)?;
    vm.power_button()?;
    let told = vm.wait_line("tare: power off: stopping services", secs(30))?;
    // Services that wait for the disk cannot be killed; they have 90 s in all, and the disk another 30 s.
    let gave_up = asleep(|| vm.wait_line("tare: giving up on writeback", secs(150)))?;
    let took = stamp(&gave_up)?.saturating_sub(stamp(&told)?);
    ensure!(took < secs(180), "it took {took:?}");
    wait_off(&vm)
}

/// Boots, requests the shutdown, and checks it.
fn ends(machine: &Machine, ask: impl FnOnce(&Vm) -> Result<()>) -> Result<()> {
    let vm = machine.boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(10))?;
    ask(&vm)?;
    wait_off(&vm)?;
    require_order(&vm.console().text())?;
    disk::require_clean_state(machine)
}

/// A service stops before what it needs, and the log after all others; the state is unmounted at the end.
fn require_order(console: &str) -> Result<()> {
    let at = |line: &str| {
        console
            .rfind(line)
            .with_context(|| format!("the console lacks `{line}`"))
    };
    let order = [
        at("tare: power off: stopping services")?,
        at("tare: console: stopping -> stopped")?,
        at("tare: ssh: stopping -> stopped")?,
        at("tare: log: ready -> stopping")?,
        at("tare: log: stopping -> stopped")?,
        at("tare: powering off: state unmounted")?,
    ];
    ensure!(order.is_sorted(), "this is not in order:\n{console}");
    let last = at("tare: log: ready -> stopping")?;
    ensure!(
        at("tare: engine: stopping -> stopped")? < last,
        "the engine outlives the log:\n{console}"
    );
    Ok(())
}
