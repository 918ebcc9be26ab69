//! A clock that is wrong.

use crate::alive::{TALK, make};
use anyhow::{Result, ensure};
use tare_qemu::Vm;
use tare_tests::guest::says;

/// In 2016.
pub(crate) fn back(vm: &Vm) -> Result<()> {
    set(vm, 1_479_686_400, "2016-11-21\n")
}

/// In 2046, after the last second that has 31 bits.
pub(crate) fn forward(vm: &Vm) -> Result<()> {
    set(vm, 2_426_371_200, "2046-11-21\n")
}

/// No timer of PID 1 goes by that clock: a service that has to speak every two seconds is not found late.
fn set(vm: &Vm, seconds: u64, date: &str) -> Result<()> {
    let process = format!("pgrep -fx '{TALK}'");
    let before = vm.ssh(&process)?;
    make(vm, &format!("clock {seconds}"))?;
    says(vm, "sleep 3; date -u +%F", date)?;
    let after = vm.ssh(&process)?;
    ensure!(before == after, "t-talk was {before} and is {after}");
    Ok(())
}
