//! A machine from power on to power off, started in both ways.

use anyhow::{Result, ensure};
use tare_qemu::{Builder, Vm, secs};
use tare_tests::guest::{
    fetch_page, mentions, power_off, require_no_orphans, run_container, says, services, wait_apps,
};
use tare_tests::{Checks, disk, on_machines, user_data};

/// What PID 1 may use of memory, in KiB.
const PID_1_RSS: u64 = 8 << 10;

/// Services that end when their work is done.
const JOBS: &[&str] = &["apps", "storage"];

#[test]
fn through_firmware() -> Result<()> {
    on_machines(|image| power_on_use_power_off(Vm::of(image)))
}

#[test]
fn kernel_started_directly() -> Result<()> {
    on_machines(|image| power_on_use_power_off(Vm::of(image).direct()))
}

fn power_on_use_power_off(machine: Builder) -> Result<()> {
    let machine = machine.user_data(user_data::DEMO).forward(80);
    let vm = machine.boot()?;
    println!("{}", vm.wait_ready()?);
    vm.wait_ssh(secs(10))?;
    let mut checks = Checks::default();
    checks.check("ssh in", || says(&vm, "hostname", "tare\n"));
    checks.check("address and resolver by DHCP", || leased(&vm));
    checks.check("the app is started", || wait_apps(&vm));
    checks.check("reach the app", || fetch_page(&vm));
    checks.check("run a container", || run_container(&vm));
    checks.check("the disk is used to its end", || disk_is_grown(&vm));
    checks.check("no failed service", || services_are_well(&vm));
    checks.check("no orphan", || require_no_orphans(&vm));
    checks.check("PID 1 is small", || pid_1_is_small(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// From QEMU's own DHCP server.
fn leased(vm: &Vm) -> Result<()> {
    mentions(vm, "ip -4 -o addr show dev eth0", "inet 10.0.2.15/24")?;
    mentions(vm, "ip -4 route", "default via 10.0.2.2 dev eth0")?;
    says(vm, "cat /etc/resolv.conf", "nameserver 10.0.2.3\n")
}

/// Jobs are done, daemons run.
fn services_are_well(vm: &Vm) -> Result<()> {
    for (service, state) in services(vm)? {
        let want = if JOBS.contains(&service.as_str()) {
            "done"
        } else {
            "ready"
        };
        ensure!(state == want, "{service} is {state}, not {want}");
    }
    Ok(())
}

fn disk_is_grown(vm: &Vm) -> Result<()> {
    let kibibytes: u64 = vm
        .ssh("df --output=size /root | tail -n 1")?
        .trim()
        .parse()?;
    ensure!(kibibytes > 6 << 20, "{kibibytes} KiB of a disk of 8 GiB");
    Ok(())
}

fn pid_1_is_small(vm: &Vm) -> Result<()> {
    let kibibytes: u64 = vm.ssh("ps -o rss= -p 1")?.trim().parse()?;
    ensure!(
        kibibytes <= PID_1_RSS,
        "PID 1 has {kibibytes} KiB in memory"
    );
    Ok(())
}
