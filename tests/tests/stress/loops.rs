//! Services that fail for ever.

use crate::alive::require_alive;
use anyhow::{Result, ensure};
use std::time::Duration;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{self, power_off};
use tare_tests::{Checks, LOOPS, QUIET, enable_loops, image_with_test_services, on_machines_of};

/// By then they are started every quarter of a minute at most.
const STARTS: u64 = 8;
/// How long it is looked at what they take.
const LOOK: Duration = secs(60);

#[test]
fn cost_next_to_nothing() -> Result<()> {
    on_machines_of(image_with_test_services()?, |image| {
        let vm = Vm::of(image)
            .direct()
            .user_data(&format!("{QUIET}{}", enable_loops()))
            .boot()?;
        vm.wait_ready()?;
        let mut checks = Checks::default();
        checks.check("the others are started and answer", || require_alive(&vm));
        checks.check("they are started ever more seldom", || backs_off(&vm));
        checks.check("they take less than 5 % of a processor", || cost(&vm));
        checks.check("the others go on", || require_alive(&vm));
        checks.check("power off", || power_off(&vm));
        checks.verdict()
    })
}

/// How often each service that fails was started.
fn starts(vm: &Vm) -> Result<Vec<u64>> {
    let all = guest::starts(vm)?.into_iter();
    let loops = all.filter(|(name, _)| name.starts_with("loop-"));
    let starts: Vec<u64> = loops.map(|(_, starts)| starts).collect();
    ensure!(starts.len() == LOOPS, "there are {} services", starts.len());
    Ok(starts)
}

fn backs_off(vm: &Vm) -> Result<()> {
    while starts(vm)?.iter().any(|starts| *starts < STARTS) {
        ensure!(
            vm.elapsed() < vm.scaled(secs(120)),
            "they are hardly started"
        );
        std::thread::sleep(secs(2));
    }
    let before: u64 = starts(vm)?.iter().sum();
    std::thread::sleep(LOOK);
    let starts = starts(vm)?.iter().sum::<u64>() - before;
    // Each at most once in 9.6 s, the least that is left of 12.8 s.
    let most = LOOPS as u64 * LOOK.as_secs() * 10 / 96 + LOOPS as u64;
    ensure!(starts <= most, "{starts} starts in {LOOK:?}");
    Ok(())
}

/// That of PID 1 and of every process that it has reaped since: theirs.
fn cost(vm: &Vm) -> Result<()> {
    const HUNDREDTHS: &str = "awk '{ print $14 + $15 + $16 + $17 }' /proc/1/stat";
    let taken = || -> Result<u64> { Ok(vm.ssh(HUNDREDTHS)?.trim().parse()?) };
    let before = taken()?;
    std::thread::sleep(LOOK);
    let took = Duration::from_millis((taken()? - before) * 10);
    println!("{LOOPS} services that fail, and PID 1: {took:?} in {LOOK:?}");
    ensure!(
        took <= vm.scaled(LOOK / 20),
        "they take {took:?} in {LOOK:?}"
    );
    Ok(())
}
