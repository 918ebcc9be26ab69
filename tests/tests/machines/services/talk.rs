//! Talks to the test services over ssh.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{services, wait_service};

/// For what a service does at once, because each start costs seconds of emulation.
const PATIENCE: Duration = secs(30);

/// In a shell: sends `command` to the service on `port` and shows its answer.
pub(crate) fn to(port: u16, command: &str) -> String {
    format!("exec 3<>/dev/tcp/127.0.0.1/{port}; echo '{command}' >&3; cat <&3")
}

/// The answer of the service on `port` to `command`.
pub(crate) fn ask(vm: &Vm, port: u16, command: &str) -> Result<String> {
    vm.ssh(&to(port, command))
}

/// Sends a command to the service on `port`.
pub(crate) fn tell(vm: &Vm, port: u16, command: &str) -> Result<()> {
    let answer = ask(vm, port, command)?;
    ensure!(answer == "done\n", "{command}: {answer}");
    Ok(())
}

/// The state of a service now.
pub(crate) fn state(vm: &Vm, service: &str) -> Result<String> {
    let state = services(vm)?.remove(service);
    state.with_context(|| format!("there is no service {service}"))
}

pub(crate) fn wait_state(vm: &Vm, service: &str, state: &str) -> Result<()> {
    wait_service(vm, service, state, PATIENCE)
}

/// Every run of a test service begins with a line in the log.
fn count(service: &str) -> String {
    format!("cat /var/log/tare/*.log | grep -c ' {service} stdout run '")
}

/// How often a test service was started.
pub(crate) fn runs(vm: &Vm, service: &str) -> Result<u32> {
    let runs = vm.ssh(&format!("{} || true", count(service)))?;
    runs.trim().parse().context("the number of runs")
}

/// Waits until a test service has been started `runs` times.
pub(crate) fn wait_runs(vm: &Vm, service: &str, runs: u32) -> Result<()> {
    let wait = format!(
        "until [ $({}) -ge {runs} ]; do sleep 0.2; done",
        count(service)
    );
    vm.ssh_within(&wait, PATIENCE)
        .map(drop)
        .with_context(|| format!("{service} has not had {runs} runs"))
}

/// When the last three of at least four runs of a test service began: by the wall clock, and in seconds since boot.
pub(crate) fn last_runs(vm: &Vm, service: &str) -> Result<[(String, f64); 3]> {
    wait_runs(vm, service, 4)?;
    let run = format!("grep ' {service} stdout run '");
    let read = format!("cat /var/log/tare/*.log | {run} | tail -n 3 | cut -d ' ' -f 1,2");
    let moment = |line: &str| {
        let (wall, since_boot) = line.split_once(' ')?;
        Some((wall.to_owned(), since_boot.parse().ok()?))
    };
    let said = vm.ssh(&read)?;
    let runs: Option<Vec<_>> = said.lines().map(moment).collect();
    let three = runs.and_then(|runs| runs.try_into().ok());
    three.with_context(|| format!("three runs in {said}"))
}
