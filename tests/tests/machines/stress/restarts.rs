//! A service that exits for ever.

use super::alive::memory;
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::note;

/// In KiB: pages that the allocator happens to touch. Over 200 leaking restarts that is 328 bytes each; the long test
/// of a thousand is finer.
const TOUCHED: u64 = 64;

/// PID 1 uses no more memory after the second half of the restarts than after the first.
pub(crate) fn hundreds(vm: &Vm) -> Result<()> {
    vm.ssh("tare service start --no-wait t-again")?;
    let early = memory_after(vm, 200)?;
    let late = memory_after(vm, 400)?;
    vm.ssh("tare service stop t-again")?;
    note(&format!(
        "PID 1: {early} KiB after 200 restarts, {late} KiB after 400"
    ));
    ensure!(
        late <= early + TOUCHED,
        "{early} KiB after 200 restarts, {late} KiB after 400"
    );
    Ok(())
}

fn memory_after(vm: &Vm, starts: u32) -> Result<u64> {
    let count = "tare service show --json t-again | sed -n 's/.*\"starts\": \\([0-9]*\\).*/\\1/p'";
    let wait = format!("until [ $({count}) -gt {starts} ]; do sleep 1; done");
    vm.ssh_within(&wait, secs(60))?;
    memory(vm)
}
