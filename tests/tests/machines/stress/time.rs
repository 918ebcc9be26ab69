//! A wrong clock.

use super::alive::TALK;
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};

/// In 2016.
pub(crate) fn back(vm: &Vm) -> Result<()> {
    set(vm, 1_479_686_400, 8, "2016-11-21\n")
}

/// In 2046, after the last second that fits into 31 bits. For longer than the watchdog's timeout, so that the clock
/// is set between PID 1's checks for a ping.
pub(crate) fn forward(vm: &Vm) -> Result<()> {
    set(vm, 2_426_371_200, 24, "2046-11-21\n")
}

/// Sets the clock every second, `times` times, to one more minute after `seconds`. PID 1's timers do not use that
/// clock, so a service that must ping every twenty seconds is not late.
fn set(vm: &Vm, seconds: u64, times: u64, date: &str) -> Result<()> {
    let late = || {
        let console = vm.console().text();
        console.matches(": watchdog timeout").count()
    };
    let process = format!("pgrep -fx '{TALK}'");
    let (before, late_before) = (vm.ssh(&process)?, late());
    let set = format!(
        "for ((i = 0; i < {times}; i++)); do exec 3<>/dev/tcp/127.0.0.1/7005; \
         echo \"clock $(({seconds} + 60 * i))\" >&3; read -r -u 3 said; \
         [ \"$said\" = done ] || exit 1; sleep 1; done; date -u +%F"
    );
    let said = vm.ssh_within(&set, secs(60))?;
    ensure!(said == date, "the date is {said}, not {date}");
    let after = vm.ssh(&process)?;
    ensure!(before == after, "t-talk was {before} and is {after}");
    ensure!(late() == late_before, "a watchdog went by the clock");
    Ok(())
}
