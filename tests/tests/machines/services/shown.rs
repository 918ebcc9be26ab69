//! The services that `docs/services.md` shows, exactly as written.

use super::ntp;
use super::talk::{runs, state, wait_runs, wait_state};
use anyhow::{Result, ensure};
use std::time::{Duration, SystemTime};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, says, settled, starts};
use tare_tests::{Checks, QUIET, enable_shown};

/// 2030-01-07 02:59:00 UTC, a minute before the schedule on the page is due.
const MONDAY: Duration = secs(1_893_985_140);

pub(crate) fn live_as_the_page_says(image: &Image) -> Result<()> {
    let ntp = ntp::Server::start_at(SystemTime::UNIX_EPOCH + MONDAY)?;
    let user_data = format!("{QUIET}{}{}", enable_shown(), ntp.user_data());
    let vm = Vm::of(image).direct().user_data(&user_data).boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    let mut checks = Checks::default();
    checks.check("a daemon that says when it is ready", || daemon(&vm));
    checks.check("restarts and their limit", || limit(&vm));
    checks.check("sockets", || sockets(&vm));
    checks.check("ready by http, and asked how it is", || health(&vm));
    checks.check("a schedule", || schedule(&vm));
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}

/// In a shell: kills the service's main process.
fn kill(service: &str) -> String {
    format!(
        "kill -KILL $(tare service show {service} --json | sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p')"
    )
}

fn daemon(vm: &Vm) -> Result<()> {
    wait_state(vm, "shown-000", "ready")?;
    vm.ssh(&kill("shown-000"))?;
    wait_runs(vm, "shown-000", 2)?;
    wait_state(vm, "shown-000", "ready")
}

fn limit(vm: &Vm) -> Result<()> {
    let failed = "tare service list | grep -q '^shown-003  *failed '";
    let kill = kill("shown-003");
    let wait = format!("until {failed}; do {kill} 2>/dev/null; sleep 0.2; done");
    vm.ssh_within(&wait, secs(30))?;
    // A run that was killed at once has not logged that it runs.
    let starts = starts(vm)?.remove("shown-003");
    ensure!(starts == Some(5), "{starts:?} starts");
    Ok(())
}

fn sockets(vm: &Vm) -> Result<()> {
    ensure!(state(vm, "shown-004")? == "waiting");
    let web =
        "exec 3<>/dev/tcp/127.0.0.1/8081; printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3; tail -n 1 <&3";
    says(vm, web, "1\n")?;
    ensure!(state(vm, "shown-004")? == "ready");
    let api = "tare service exec shown-004 -- /usr/bin/numbers --ask";
    // The host's group 988 is not mapped in the service's user namespace.
    says(vm, api, "2 660 65534\n")
}

/// The first check comes after half a minute, later than the watchdog's timeout.
fn health(vm: &Vm) -> Result<()> {
    let asked = |path| {
        let wait = "until tare logs --service shown-002 | grep";
        vm.ssh_within(
            &format!("{wait} -q 'is asked GET {path} '; do sleep 1; done"),
            secs(60),
        )
    };
    asked("/healthz")?;
    asked("/check")?;
    wait_state(vm, "shown-002", "ready")?;
    ensure!(runs(vm, "shown-002")? == 1, "it was started again");
    Ok(())
}

fn schedule(vm: &Vm) -> Result<()> {
    wait_runs(vm, "shown-001", 1)?;
    let began = "grep -h ' shown-001 stdout run ' /var/log/tare/*.log | cut -c 1-16";
    let began = settled(vm, |vm| vm.ssh(began))?;
    ensure!(began == "2030-01-07T03:00\n", "it began at {began}");
    Ok(())
}
