//! A machine with nothing to do.

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::power_off;
use tare_tests::user_data::NO_ENGINE;
use tare_tests::{asleep, note};

/// During this time, in seconds,
const IDLE: u64 = 100;
/// PID 1 wakes up no more often than this: 0.7 times in ten seconds.
const MOST: u64 = 7;

pub(crate) fn pid_1_sleeps(image: &Image) -> Result<()> {
    let vm = Vm::of(image).direct().user_data(NO_ENGINE).boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    let count = "awk '/^voluntary_ctxt_switches:/ { print $2 }' /proc/1/status";
    // Within one login, whose start is over by then, because PID 1 also reaps orphans.
    let look = format!("sleep 10; {count}; sleep {IDLE}; {count}");
    let said = asleep(|| vm.ssh_within(&look, secs(IDLE + 30)))?;
    let (before, after) = said.trim().split_once('\n').context("one number")?;
    let times = after.parse::<u64>()? - before.parse::<u64>()?;
    note(&format!("PID 1 wakes up {times} times in {IDLE} s"));
    ensure!(times <= MOST, "PID 1 wakes up {times} times in {IDLE} s");
    power_off(&vm)
}
