//! A service that ends for ever.

use super::alive::memory;
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::note;

/// In KiB: pages that the allocator happens to touch. Of 500 restarts that leak it is 131 bytes each.
const TOUCHED: u64 = 64;

/// PID 1 takes no more memory after the second half of them than after the first.
pub(crate) fn a_thousand(vm: &Vm) -> Result<()> {
    vm.ssh("tare service start --no-wait t-again")?;
    let early = memory_after(vm, 500)?;
    let late = memory_after(vm, 1000)?;
    vm.ssh("tare service stop t-again")?;
    note(&format!(
        "PID 1: {early} KiB after 500 restarts, {late} KiB after 1000"
    ));
    ensure!(
        late <= early + TOUCHED,
        "{early} KiB after 500 restarts, {late} KiB after 1000"
    );
    Ok(())
}

fn memory_after(vm: &Vm, starts: u32) -> Result<u64> {
    let count = "tare service show --json t-again | sed -n 's/.*\"starts\": \\([0-9]*\\).*/\\1/p'";
    let wait = format!("until [ $({count}) -gt {starts} ]; do sleep 1; done");
    vm.ssh_within(&wait, secs(60))?;
    memory(vm)
}
