//! What a person sees and does on a machine, over ssh.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tare_qemu::{Vm, secs};

mod processes;

pub use processes::require_no_orphans;

/// From "ready" to a running demo app: loading its image and starting it.
const APPS: Duration = secs(60);
/// From the request to QEMU's exit. Containers may take 10 s.
const POWER_OFF: Duration = secs(45);
/// Polls until a changing value must have settled.
const SETTLE: usize = 10;

/// The states of all services by name, as PID 1 reports them.
///
/// # Errors
/// ssh fails, or PID 1 does not answer.
pub fn services(vm: &Vm) -> Result<BTreeMap<String, String>> {
    list(vm)?.iter().map(name_and_state).collect()
}

fn list(vm: &Vm) -> Result<Vec<Value>> {
    let mut list: Value = serde_json::from_str(&vm.ssh("tare service list --json")?)?;
    let services = list["services"].as_array_mut().context("services")?;
    Ok(std::mem::take(services))
}

fn name_and_state(service: &Value) -> Result<(String, String)> {
    let text = |key: &str| service[key].as_str().map(str::to_owned);
    let both = text("name").zip(text("state"));
    both.with_context(|| format!("{service} has no name or no state"))
}

/// How often each service was started, by name.
///
/// # Errors
/// As [`services`].
pub fn starts(vm: &Vm) -> Result<BTreeMap<String, u64>> {
    let name_and_starts = |service: &Value| {
        let both = service["name"].as_str().zip(service["starts"].as_u64());
        let both = both.map(|(name, starts)| (name.to_owned(), starts));
        both.with_context(|| format!("{service} has no name or no starts"))
    };
    list(vm)?.iter().map(name_and_starts).collect()
}

/// Waits until `service` is in `state`, such as `ready` or `done`.
///
/// # Errors
/// The service is late; the error has the states of all services.
pub fn wait_service(vm: &Vm, service: &str, state: &str, patience: Duration) -> Result<()> {
    let wait = until_state(service, state);
    let late = || format!("{service} is not {state}: {:?}", services(vm));
    vm.ssh_within(&wait, patience).map(drop).with_context(late)
}

/// In a shell: waits until `service` is in `state`.
pub fn until_state(service: &str, state: &str) -> String {
    format!("until tare service list | grep -q '^{service}  *{state} '; do sleep 0.2; done")
}

/// Checks that no service has failed or is backing off.
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
/// The apps are late.
pub fn wait_apps(vm: &Vm) -> Result<()> {
    wait_service(vm, "apps", "done", APPS)?;
    let services = services(vm)?;
    let apps = services.keys().filter(|name| name.starts_with("app."));
    apps.into_iter()
        .try_for_each(|name| wait_service(vm, name, "done", APPS))
}

/// `docker run` of the container image that came with the disk image.
///
/// # Errors
/// Its output is wrong.
pub fn run_container(vm: &Vm) -> Result<()> {
    let said = vm.ssh_within("docker run --rm tare/demo echo hello", secs(60))?;
    ensure!(said == "hello\n", "the container says {said:?}");
    Ok(())
}

/// Fetches the demo app's page through its forwarded port.
///
/// # Errors
/// There is no page, or the wrong one.
pub fn fetch_page(vm: &Vm) -> Result<()> {
    let page = vm.wait_http(80, "/", secs(30))?;
    ensure!(
        page.contains("Tare"),
        "the page is not the demo app's: {page}"
    );
    Ok(())
}

/// Checks that `command` prints `want`.
///
/// # Errors
/// It prints something else.
pub fn says(vm: &Vm, command: &str, want: &str) -> Result<()> {
    let said = vm.ssh(command)?;
    ensure!(said == want, "`{command}` says {said:?}, not {want:?}");
    Ok(())
}

/// Waits until `command` prints `want`.
///
/// # Errors
/// It still prints something else; the error says what.
pub fn wait_says(vm: &Vm, command: &str, want: &str, patience: Duration) -> Result<()> {
    let wait = format!(
        "until [ \"$({command})\" = '{}' ]; do sleep 0.5; done",
        want.trim_end_matches('\n')
    );
    let late = || format!("`{command}` says {:?}, not {want:?}", vm.ssh(command));
    vm.ssh_within(&wait, patience).map(drop).with_context(late)
}

/// Checks that `command` succeeds in the shell on the console.
///
/// # Errors
/// It fails, or there is no shell.
pub fn well_on_the_console(vm: &Vm, command: &str) -> Result<()> {
    // Input typed before the shell runs is lost.
    let well = (0..20).any(|_| {
        let typed = vm.type_in(&format!("{command} > /dev/null && echo well-$((40 + 2))\n"));
        typed.is_ok() && vm.wait_line("well-42", secs(2)).is_ok()
    });
    ensure!(well, "no answer:\n{}", vm.console().text());
    Ok(())
}

/// Checks that the output of `command` contains `want`.
///
/// # Errors
/// It does not contain `want`.
pub fn mentions(vm: &Vm, command: &str, want: &str) -> Result<()> {
    let said = vm.ssh(command)?;
    ensure!(
        said.contains(want),
        "`{command}` does not say {want:?}:\n{said}"
    );
    Ok(())
}

/// What `read` returns twice in a row, a second apart, and so no longer changes.
///
/// # Errors
/// `read` fails, or what it returns does not settle.
pub fn settled<T: PartialEq + Debug>(vm: &Vm, read: impl Fn(&Vm) -> Result<T>) -> Result<T> {
    let mut last = read(vm)?;
    for _ in 0..SETTLE {
        vm.ssh("sleep 1")?;
        let now = read(vm)?;
        if now == last {
            return Ok(now);
        }
        last = now;
    }
    bail!("it does not settle: {last:?}")
}

/// When PID 1 wrote this `line` of the console, since the kernel's start.
///
/// # Errors
/// The line is not PID 1's.
pub fn stamp(line: &str) -> Result<Duration> {
    // The prompt of the service `console` may stand before it.
    let stamp = line.split_once("] tare: ");
    let stamp = stamp.and_then(|(before, _)| before.rsplit_once('['));
    let (_, seconds) = stamp.with_context(|| format!("no time in `{line}`"))?;
    Ok(Duration::try_from_secs_f64(seconds.trim_start().parse()?)?)
}

/// Waits until the machine has powered itself off.
///
/// # Errors
/// The machine is late, or exits for another reason.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_pid_1_have_a_time() {
        for line in [
            "[   12.5] tare: x",
            "root@tare:/# [   12.5] tare: [x] tare: y",
        ] {
            assert_eq!(
                stamp(line).unwrap(),
                Duration::from_millis(12_500),
                "{line}"
            );
        }
        let error = stamp("tare: x").unwrap_err();
        assert_eq!(error.to_string(), "no time in `tare: x`");
    }
}
