//! A service that ends for ever.

use crate::alive::rss;
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};

/// PID 1 takes no more memory after the second half of them than after the first.
pub(crate) fn a_thousand(vm: &Vm) -> Result<()> {
    vm.ssh("tare service start --no-wait t-again")?;
    let early = rss_after(vm, 500)?;
    let late = rss_after(vm, 1000)?;
    vm.ssh("tare service stop t-again")?;
    println!("PID 1: {early} KiB after 500 restarts, {late} KiB after 1000");
    ensure!(
        late <= early,
        "{early} KiB after 500 restarts, {late} KiB after 1000"
    );
    Ok(())
}

fn rss_after(vm: &Vm, starts: u32) -> Result<u64> {
    let count = "tare service show --json t-again | sed -n 's/.*\"starts\": \\([0-9]*\\).*/\\1/p'";
    let wait = format!("until [ $({count}) -gt {starts} ]; do sleep 1; done");
    vm.ssh_within(&wait, secs(60))?;
    rss(vm)
}
