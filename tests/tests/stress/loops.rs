//! Services that fail for ever.

use crate::QUIET;
use crate::alive::require_alive;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::time::Duration;
use tare_qemu::{Vm, secs};
use tare_tests::guest::power_off;
use tare_tests::{Checks, LOOPS, enable_loops, image_with_test_services, on_machines_of};

/// By then they are started every quarter of a minute at most.
const STARTS: u64 = 8;
/// How long it is looked at what they take; emulation is as much slower as this is longer than need be.
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

/// `field` of each service that fails, added up, and the least.
fn field(vm: &Vm, field: &str) -> Result<(u64, u64)> {
    let list: Value = serde_json::from_str(&vm.ssh("tare service list --json")?)?;
    let list = list["services"].as_array().context("services")?;
    let loops = list.iter().filter(|service| {
        service["name"]
            .as_str()
            .is_some_and(|name| name.starts_with("loop-"))
    });
    let numbers: Vec<u64> = loops
        .filter_map(|service| service[field].as_u64())
        .collect();
    ensure!(numbers.len() == LOOPS, "{} have a {field}", numbers.len());
    Ok((
        numbers.iter().sum(),
        numbers.iter().copied().min().unwrap_or(0),
    ))
}

fn backs_off(vm: &Vm) -> Result<()> {
    while field(vm, "starts")?.1 < STARTS {
        ensure!(
            vm.elapsed() < vm.scaled(secs(120)),
            "they are hardly started"
        );
        std::thread::sleep(secs(2));
    }
    let before = field(vm, "starts")?.0;
    std::thread::sleep(LOOK);
    let starts = field(vm, "starts")?.0 - before;
    // Each at most once in 9.6 s, the least that is left of 12.8 s.
    let most = LOOPS as u64 * LOOK.as_secs() * 10 / 96 + LOOPS as u64;
    ensure!(starts <= most, "{starts} starts in {LOOK:?}");
    Ok(())
}

/// Theirs, and that of PID 1, which starts them.
fn cost(vm: &Vm) -> Result<()> {
    const PID_1: &str = "awk '{print ($14 + $15) * 10000}' /proc/1/stat";
    let taken = || -> Result<u64> {
        let own: u64 = vm.ssh(PID_1)?.trim().parse()?;
        Ok(own + field(vm, "cpu")?.0)
    };
    let before = taken()?;
    std::thread::sleep(LOOK);
    let share = (taken()? - before) as f64 / LOOK.as_micros() as f64;
    println!(
        "{LOOPS} services that fail, and PID 1: {:.1} % of a processor",
        share * 100.0
    );
    ensure!(share < 0.05, "they take {share} of a processor");
    Ok(())
}
