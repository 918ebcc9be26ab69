//! What a person sees and does on a machine, over ssh.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tare_qemu::{Vm, secs};

mod processes;

pub use processes::require_no_orphans;

/// From "ready" to a running demo app: loading its image and starting it.
const APPS: Duration = secs(60);
/// From the wish to QEMU's exit. Containers may take 10 s.
const POWER_OFF: Duration = secs(45);

/// The states of all services by name, as PID 1 tells them.
///
/// # Errors
/// ssh fails, or a line is not `NAME STATE`.
pub fn services(vm: &Vm) -> Result<BTreeMap<String, String>> {
    let list = vm.ssh("cat /run/host/services")?;
    list.lines().map(parse).collect()
}

fn parse(line: &str) -> Result<(String, String)> {
    let words = line.split_once(' ');
    let (service, state) =
        words.with_context(|| format!("`{line}` is no service and its state"))?;
    Ok((service.to_owned(), state.to_owned()))
}

/// Waits until `service` is in `state`, such as `ready` or `done`.
///
/// # Errors
/// It is late; with the states of all services.
pub fn wait_service(vm: &Vm, service: &str, state: &str, patience: Duration) -> Result<()> {
    // There is no event to wait for from outside; the file is replaced whole whenever a state changes.
    let wait = format!("until grep -qx '{service} {state}' /run/host/services; do sleep 0.1; done");
    let late = || format!("{service} is not {state}: {:?}", services(vm));
    vm.ssh_within(&wait, patience).map(drop).with_context(late)
}

/// No service has ended badly, for good or for now.
///
/// # Errors
/// Names those that have.
pub fn require_no_failed_service(vm: &Vm) -> Result<()> {
    let mut services = services(vm)?;
    ensure!(!services.is_empty(), "no service is listed");
    services.retain(|_, state| state == "failed" || state == "backing-off");
    ensure!(services.is_empty(), "services are not well: {services:?}");
    Ok(())
}

/// Waits until the apps of the user-data run.
///
/// # Errors
/// They are late.
pub fn wait_apps(vm: &Vm) -> Result<()> {
    wait_service(vm, "apps", "done", APPS)
}

/// `docker run` of the container image that came with the disk image.
///
/// # Errors
/// It does not say what it was told to say.
pub fn run_container(vm: &Vm) -> Result<()> {
    let said = vm.ssh_within("docker run --rm tare/demo echo hello", secs(60))?;
    ensure!(said == "hello\n", "the container says {said:?}");
    Ok(())
}

/// Fetches the demo app's page through the port that leads to it.
///
/// # Errors
/// It does not come or is another one.
pub fn fetch_page(vm: &Vm) -> Result<()> {
    let page = vm.wait_http(80, "/", secs(30))?;
    ensure!(
        page.contains("Tare"),
        "the page is not the demo app's: {page}"
    );
    Ok(())
}

/// What `command` writes is `want`.
///
/// # Errors
/// It is something else.
pub fn says(vm: &Vm, command: &str, want: &str) -> Result<()> {
    let said = vm.ssh(command)?;
    ensure!(said == want, "`{command}` says {said:?}, not {want:?}");
    Ok(())
}

/// What `command` writes contains `want`.
///
/// # Errors
/// It does not.
pub fn mentions(vm: &Vm, command: &str, want: &str) -> Result<()> {
    let said = vm.ssh(command)?;
    ensure!(
        said.contains(want),
        "`{command}` does not say {want:?}:\n{said}"
    );
    Ok(())
}

/// Waits until the machine has powered itself off.
///
/// # Errors
/// It is late, or ends in another way.
pub fn wait_off(vm: &Vm) -> Result<()> {
    let exit = vm.wait_exit(POWER_OFF)?;
    let reason = exit.reason.as_deref();
    ensure!(
        reason == Some("guest-shutdown"),
        "it did not power off: {exit:?}"
    );
    Ok(())
}

/// Presses the power button and waits until the machine is off.
///
/// # Errors
/// As [`wait_off`].
pub fn power_off(vm: &Vm) -> Result<()> {
    vm.power_button()?;
    wait_off(vm)
}
