//! As many services as no machine has.

use crate::alive::require_alive;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tare_qemu::{Vm, secs};
use tare_tests::guest::power_off;
use tare_tests::{
    Checks, MANY, QUIET, disk, enable_many, image_with_test_services, on_machines_of,
};

/// In MiB: the kernel's part of a container is half of one.
const MEMORY: u32 = 2048;
/// The first and the last of them are compared, this many.
const PART: usize = 250;

#[test]
fn start_at_a_flat_cost() -> Result<()> {
    on_machines_of(image_with_test_services()?, |image| {
        let vm = Vm::of(image)
            .direct()
            .memory(MEMORY)
            .user_data(&format!("{QUIET}{}", enable_many(MANY)))
            .boot()?;
        vm.wait_ready()?;
        let mut checks = Checks::default();
        checks.check("ssh and PID 1 answer meanwhile", || require_alive(&vm));
        checks.check("all are ready", || {
            let all = format!(
                "until [ $(grep -c '^many-.* ready$' /run/host/services) = {MANY} ]; do sleep 0.5; done"
            );
            vm.ssh_within(&all, secs(60)).map(drop)
        });
        checks.check("the last cost no more than the first", || flat(&vm));
        checks.check("PID 1 does its work", || require_alive(&vm));
        checks.check("power off", || power_off(&vm));
        checks.check("clean file system", || {
            disk::require_clean_state(vm.machine())
        });
        checks.verdict()
    })
}

fn flat(vm: &Vm) -> Result<()> {
    let ready = ready(vm)?;
    ensure!(ready.len() == MANY, "{} are ready", ready.len());
    let took = |from: usize| ready[from + PART - 1] - ready[from];
    let (first, last) = (took(0), took(MANY - PART));
    println!("the first {PART} took {first} us, the last {last} us");
    ensure!(
        last < first * 2,
        "the first {PART} took {first} us, the last {last} us"
    );
    Ok(())
}

/// When each came up, in microseconds since the kernel started, in order.
fn ready(vm: &Vm) -> Result<Vec<u64>> {
    let list: Value = serde_json::from_str(&vm.ssh("tare service list --json")?)?;
    let list = list["services"].as_array().context("services")?;
    let many = list.iter().filter(|service| {
        let name = service["name"].as_str().unwrap_or_default();
        name.starts_with("many-") && service["state"] == "ready"
    });
    let mut since: Vec<u64> = many
        .filter_map(|service| service["since"].as_u64())
        .collect();
    since.sort_unstable();
    Ok(since)
}
