//! Services that ignore the request to stop during shutdown.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, stamp, wait_service};
use tare_tests::{QUIET, asleep, disk};

/// Shows each service's change of state.
const EVERYTHING: &str = "loglevel=8";
/// In seconds: the grace of each service.
const GRACES: [(&str, u64); 2] = [("t-stubborn", 20), ("many-000", 30)];

const TOLD: &str = "ready -> stopping";
const ENDED: &str = "stopping -> stopped";
/// A line gets its time stamp when it is written, at most this long after PID 1 sent it.
const WRITTEN: Duration = secs(2);

pub(crate) fn are_killed_beside_each_other_each_after_its_grace(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .append(EVERYTHING)
        .user_data(&user_data())
        .boot()?;
    vm.wait_ready()?;
    for (name, _) in GRACES {
        wait_service(&vm, name, "ready", secs(30))?;
    }
    asleep(|| power_off(&vm))?;
    require_order(&vm.console().text())?;
    disk::require_clean_state(vm.machine())
}

fn user_data() -> String {
    let graces =
        GRACES.map(|(name, grace)| format!("services.{name}.lifecycle.stop.grace = '{grace}s'\n"));
    let another = "services.many-000.enabled = true\n\
        services.many-000.process.args = ['/usr/bin/tare-test-service', 'stubborn']\n";
    format!("{QUIET}{another}{}", graces.concat())
}

/// Both are told to stop at once. The one with the shorter grace is killed first, each after its own grace, not after
/// both. Nothing is left at the end.
fn require_order(console: &str) -> Result<()> {
    let at = |name: &str, change: &str| {
        let wanted = format!("tare: {name}: {change}");
        let line = console.lines().rfind(|line| line.contains(&wanted));
        stamp(line.with_context(|| format!("the console lacks `{wanted}`"))?)
    };
    let [(first, short), (second, long)] = GRACES.map(|(name, grace)| (name, secs(grace)));
    let told = [at(first, TOLD)?, at(second, TOLD)?];
    let ended = [at(first, ENDED)?, at(second, ENDED)?];
    ensure!(
        told[0].max(told[1]) < ended[0] && ended[0] < ended[1],
        "this is not in order:\n{console}"
    );
    let took = [0, 1].map(|which| ended[which].saturating_sub(told[which]));
    ensure!(
        took[0] + WRITTEN >= short && took[1] + WRITTEN >= long && took[1] < short + long,
        "they took {took:?}"
    );
    ensure!(
        !console.contains("did not end"),
        "something is left:\n{console}"
    );
    Ok(())
}
