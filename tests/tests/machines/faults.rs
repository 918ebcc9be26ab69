//! Services that die, and a tampered system.

use anyhow::{Context, Result, bail, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{
    fetch_page, power_off, require_no_failed_service, require_no_orphans, run_container, wait_apps,
    wait_service,
};
use tare_tests::{Checks, disk, user_data};

pub(crate) fn a_killed_service_comes_back(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(user_data::DEMO)
        .forward(80)
        .boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    wait_service(&vm, "time", "ready", secs(30))?;
    let mut checks = Checks::default();
    checks.check("time", || comes_back(&vm, "time", "chronyd"));
    checks.check("log", || log_comes_back(&vm));
    checks.check("engine", || engine_comes_back(&vm));
    checks.check("ssh, with the session that kills it", || {
        ssh_comes_back(&vm)
    });
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("no orphan", || require_no_orphans(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// Kills the main process of `service` and waits for another one.
fn comes_back(vm: &Vm, service: &str, program: &str) -> Result<()> {
    let old = main_process(vm, program)?;
    vm.ssh(&format!("kill -KILL {old}"))?;
    let reborn =
        format!("until new=$(pgrep -o -x {program}) && [ $new != {old} ]; do sleep 0.1; done");
    vm.ssh_within(&reborn, secs(30))
        .with_context(|| format!("{program} does not come back"))?;
    wait_service(vm, service, "ready", secs(60))
}

fn main_process(vm: &Vm, program: &str) -> Result<u32> {
    let pid = vm.ssh(&format!("pgrep -o -x {program}"))?;
    pid.trim()
        .parse()
        .with_context(|| format!("the process id of {program}"))
}

/// The log keeps what services wrote before and after.
fn log_comes_back(vm: &Vm) -> Result<()> {
    let before = logins(vm)?;
    comes_back(vm, "log", "tare-log")?;
    let kept = logins(vm)?;
    ensure!(
        kept >= before,
        "of {before} logins {kept} are left in the log"
    );
    vm.login("true", secs(30))?;
    let wait = format!("until [ $({COUNT_LOGINS}) -gt {kept} ]; do sleep 0.1; done");
    vm.ssh_within(&wait, secs(30)).map(drop)
}

/// sshd logs every login.
const COUNT_LOGINS: &str = "grep -c 'ssh stderr Accepted publickey' /var/log/tare/current.log";

fn logins(vm: &Vm) -> Result<u32> {
    Ok(vm.ssh(COUNT_LOGINS)?.trim().parse()?)
}

/// With its containers: the demo app restarts unless a user stopped it.
fn engine_comes_back(vm: &Vm) -> Result<()> {
    comes_back(vm, "engine", "dockerd")?;
    run_container(vm)?;
    fetch_page(vm)
}

fn ssh_comes_back(vm: &Vm) -> Result<()> {
    let old = main_process(vm, "sshd")?;
    let killed = vm.ssh_output(&format!("kill -KILL {old}; sleep 60"))?;
    ensure!(!killed.status.success(), "the session outlives its server");
    vm.wait_ssh(secs(30))?;
    let new = main_process(vm, "sshd")?;
    ensure!(new != old, "sshd was not killed");
    wait_service(vm, "ssh", "ready", secs(30))
}

pub(crate) fn a_changed_system_does_not_boot(image: &Image) -> Result<()> {
    let system = disk::partition(&image.raw, "system-a")?;
    // The superblock, without which nothing can be mounted (fs/erofs/erofs_fs.h).
    refuses_to_boot(image, system.start + 1024)
}

/// The kernel stops before it runs any program of the system.
fn refuses_to_boot(image: &Image, offset: u64) -> Result<()> {
    let machine = Vm::of(image)
        .user_data("")
        .exit_on_reboot()
        .tolerate("Kernel panic")
        .tolerate("Call Trace")
        .tolerate("I/O error")
        .machine()?;
    disk::flip_bit(&machine, &image.raw, offset)?;
    let vm = machine.boot()?;
    vm.wait_line("dm-verity device corrupted", secs(45))?;
    let exit = vm.wait_exit(secs(30))?;
    ensure!(exit.reason.as_deref() == Some("guest-reset"), "{exit:?}");
    let console = vm.console().text();
    if let Some(line) = console.lines().find(|line| line.contains("tare: ")) {
        bail!("PID 1 runs from a changed system: {line}");
    }
    Ok(())
}
