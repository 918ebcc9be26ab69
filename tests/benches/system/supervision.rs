//! What PID 1 itself costs: many services, many restarts, and nothing to do.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tare_qemu::{Base, Vm, secs};
use tare_tests::{MANY, QUIET, enable_many, image_with_test_services};

use crate::answers::{self, Idle};
use crate::boots::power_off;
use crate::figures::Figure;
use crate::guest::{IDLE, PID1};
use crate::results::Results;
use crate::systems::{Name, Systems};

/// In MiB: that of all systems, and that for many containers, half of which is the kernel's.
const MEMORY: u32 = 1024;
const MEMORY_FOR_MANY: u32 = 2048;
/// Starts averaged at each end.
const GROUP: usize = 100;
/// Restarts until PID 1's memory has settled, and up to which it must not grow.
const RESTARTS: (u64, u64) = (1000, 11_000);
/// How long wake-ups are counted, in seconds.
const IDLE_TIME: u32 = 60;

/// Only ssh runs: the engine comes on demand.
const ON_DEMAND: &str = "services.engine.lifecycle.start = \"on-demand\"\n";
/// Boots Tare alone in three ways.
///
/// # Errors
/// A machine cannot be made, does not come up or does not answer.
pub(crate) fn measure(systems: &Systems, runs: usize, results: &mut Results) -> Result<()> {
    let label = Name::Tare.label();
    for run in 1..runs {
        let vm = on_demand(systems, results).context("engine on demand")?;
        eprintln!("{label:12} {run}: engine on demand");
        power_off(Name::Tare, &vm)?;
    }
    let wake_ups = wake_ups(systems, results).context("engine on demand")?;
    eprintln!("{label:12} {wake_ups:.1} wake-ups of PID 1 in 10 s");
    let (first, last) = many(systems, results).context("many services")?;
    eprintln!("{label:12} {MANY} services: {first:.4} s each, at last {last:.4} s");
    let growth = restarts(systems, results).context("restarts")?;
    eprintln!("{label:12} {growth:+.0} bytes after many restarts");
    Ok(())
}

fn on_demand(systems: &Systems, results: &mut Results) -> Result<Vm> {
    let vm = systems.tare_with(&systems.tare, MEMORY, ON_DEMAND)?;
    let idle = Idle::parse(&vm.ssh_within(IDLE, secs(150))?)?;
    results.add(Name::Tare, Figure::MemoryOnDemand, idle.memory);
    Ok(vm)
}

fn wake_ups(systems: &Systems, results: &mut Results) -> Result<f64> {
    let vm = on_demand(systems, results)?;
    let wake_ups = switches(&vm)? * 10.0 / f64::from(IDLE_TIME);
    results.add(Name::Tare, Figure::WakeUps, wake_ups);
    power_off(Name::Tare, &vm)?;
    Ok(wake_ups)
}

/// How often PID 1 goes to sleep in [`IDLE_TIME`], within one login, because PID 1 also reaps orphans.
fn switches(vm: &Vm) -> Result<f64> {
    let switches = "awk '/^voluntary_ctxt_switches:/ { print $2 }' /proc/1/status";
    let command = format!("sleep 5; {switches}; sleep {IDLE_TIME}; {switches}");
    let answer = vm.ssh_within(&command, secs(u64::from(IDLE_TIME) + 30))?;
    let (before, after) = answer.trim().split_once('\n').context("one number")?;
    Ok(after.parse::<f64>()? - before.parse::<f64>()?)
}

fn many(systems: &Systems, results: &mut Results) -> Result<(f64, f64)> {
    let base = Base::from(image_with_test_services()?);
    let vm = systems.tare_with(
        &base,
        MEMORY_FOR_MANY,
        &format!("{QUIET}{}", enable_many(MANY)),
    )?;
    // Listing them is work for PID 1, too, so poll rarely.
    let all = format!(
        "until [ $(tare service list | grep -c '^many-[0-9]*  *ready ') = {MANY} ]; do sleep 5; done"
    );
    vm.ssh_within(&all, secs(120))?;
    let ready = ready(&vm.ssh_within("tare service list --json", secs(20))?)?;
    ensure!(ready.len() == MANY, "{} services are ready", ready.len());
    let each = |from: usize| (ready[from + GROUP - 1] - ready[from]) / (GROUP - 1) as f64 / 1e6;
    let (first, last) = (each(0), each(MANY - GROUP));
    results.add(Name::Tare, Figure::StartFirst, first);
    results.add(Name::Tare, Figure::StartLast, last);
    let rss = answers::pid1_rss(&vm.ssh(PID1)?)?;
    results.add(Name::Tare, Figure::Pid1RssMany, rss);
    power_off(Name::Tare, &vm)?;
    Ok((first, last))
}

/// When each of the many services became ready, in microseconds, sorted.
fn ready(list: &str) -> Result<Vec<f64>> {
    let list: Value = serde_json::from_str(list).context("list of services")?;
    let services = list["services"].as_array().context("no services")?;
    let many = services.iter().filter(|service| {
        let name = service["name"].as_str();
        name.is_some_and(|name| name.starts_with("many-"))
    });
    let mut ready: Vec<f64> = many
        .filter_map(|service| service["since"].as_f64())
        .collect();
    ready.sort_by(f64::total_cmp);
    Ok(ready)
}

fn restarts(systems: &Systems, results: &mut Results) -> Result<f64> {
    let base = Base::from(image_with_test_services()?);
    let vm = systems.tare_with(&base, MEMORY, QUIET)?;
    vm.ssh("tare service start t-fault && tare service start --no-wait t-again")?;
    let (settled, last) = RESTARTS;
    let growth = -rss_after(&vm, settled)? + rss_after(&vm, last)?;
    results.add(Name::Tare, Figure::Growth, growth);
    power_off(Name::Tare, &vm)?;
    Ok(growth)
}

/// PID 1's resident memory in bytes, once its restarting service has been started this often. A process that may read
/// each page measures it: the world-readable figure omits the latest per-processor counts.
fn rss_after(vm: &Vm, starts: u64) -> Result<f64> {
    let count = "tare service show --json t-again | sed -n 's/.*\"starts\": \\([0-9]*\\).*/\\1/p'";
    let wait = format!("until [ $({count}) -gt {starts} ]; do sleep 2; done");
    vm.ssh_within(&wait, secs(180))?;
    let rss = "exec 3<>/dev/tcp/127.0.0.1/7005; echo rss >&3; read -r -u 3 rss; echo $rss";
    let kib: f64 = vm.ssh(rss)?.trim().parse().context("rss")?;
    Ok(kib * 1024.0)
}
