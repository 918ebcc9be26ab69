//! More services than any machine has.

use super::alive::require_alive;
use anyhow::Result;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::power_off;
use tare_tests::{Checks, MANY, QUIET, disk, enable_many};

/// In MiB: the kernel uses half a MiB per container.
const MEMORY: u32 = 2048;
/// The service that is killed to test PID 1 must not wait behind all others.
const BEFORE_OTHERS: &str = "services.t-talk.resources.cpu-weight = 200\n";

pub(crate) fn start_beside_each_other(image: &Image) -> Result<()> {
    let user_data = format!("{QUIET}{BEFORE_OTHERS}{}", enable_many(MANY));
    let vm = Vm::of(image)
        .direct()
        .memory(MEMORY)
        .user_data(&user_data)
        .boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("ssh and PID 1 answer meanwhile", || require_alive(&vm));
    checks.check("all are ready", || {
        // Listing a thousand services is work for PID 1, so poll rarely.
        let all = format!(
            "until [ $(tare service list | grep -c '^many-[0-9]*  *ready ') = {MANY} ]; do sleep 5; done"
        );
        vm.ssh_within(&all, secs(60)).map(drop)
    });
    checks.check("PID 1 does its work", || require_alive(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}
