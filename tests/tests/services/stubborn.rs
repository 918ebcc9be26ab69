//! Services that do not end when they are told to, at the machine's end.

use anyhow::{Context, Result, ensure};
use std::time::Instant;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, wait_service};
use tare_tests::{QUIET, disk, image_with_test_services, on_machines_of};

/// Shows each service's change of state.
const EVERYTHING: &str = "loglevel=8";
/// In seconds: what each has to end in.
const GRACES: [(&str, u64); 2] = [("t-stubborn", 20), ("many-000", 30)];

#[test]
fn are_killed_beside_each_other_each_after_its_grace() -> Result<()> {
    on_machines_of(image_with_test_services()?, |image| {
        let vm = Vm::of(image)
            .direct()
            .append(EVERYTHING)
            .user_data(&user_data())
            .boot()?;
        vm.wait_ready()?;
        for (name, _) in GRACES {
            wait_service(&vm, name, "ready", secs(30))?;
        }
        let told = Instant::now();
        power_off(&vm)?;
        let took = told.elapsed();
        let [first, second] = GRACES.map(|(_, grace)| secs(grace));
        ensure!(took >= second && took < first + second, "it took {took:?}");
        require_order(&vm.console().text())?;
        disk::require_clean_state(vm.machine())
    })
}

fn user_data() -> String {
    let graces =
        GRACES.map(|(name, grace)| format!("services.{name}.lifecycle.stop.grace = '{grace}s'\n"));
    let another = "services.many-000.enabled = true\n\
        services.many-000.process.args = ['/usr/bin/tare-test-service', 'stubborn']\n";
    format!("{QUIET}{another}{}", graces.concat())
}

/// Both are told at once; who has less time is killed first; nothing is left at the end.
fn require_order(console: &str) -> Result<()> {
    let at = |name: &str, change: &str| {
        let line = format!("tare: {name}: {change}");
        let found = console.rfind(&line);
        found.with_context(|| format!("the console lacks `{line}`"))
    };
    let [first, second] = GRACES.map(|(name, _)| name);
    let told = at(first, "ready -> stopping")?.max(at(second, "ready -> stopping")?);
    let ended = [
        at(first, "stopping -> stopped")?,
        at(second, "stopping -> stopped")?,
    ];
    ensure!(
        told < ended[0] && ended[0] < ended[1],
        "this is not in order:\n{console}"
    );
    ensure!(
        !console.contains("did not end"),
        "something is left:\n{console}"
    );
    Ok(())
}
