//! The same for a service of the image: `t-greedy` of `tests/services`, which has 64 MiB and 64 processes.

use crate::{daemons, logins};
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, wait_service};
use tare_tests::{Checks, disk, image_with_test_services, on_machines_of};

/// Begins a command, which ends in `>&3`.
const ASK: &str = "exec 3<>/dev/tcp/127.0.0.1/7009; echo";
/// In bytes: little is left for the state.
const DISK: u64 = 2560 << 20;

#[test]
fn a_greedy_service_harms_only_itself() -> Result<()> {
    on_machines_of(image_with_test_services()?, |image| {
        let vm = Vm::of(image)
            .direct()
            .user_data("")
            .disk_size(DISK)
            // The kernel tells of the process that it killed, and where.
            .tolerate("Out of memory")
            .tolerate("Call Trace")
            .boot()?;
        vm.wait_ready()?;
        vm.wait_ssh(secs(20))?;
        wait_service(&vm, "t-greedy", "ready", secs(30))?;
        let before = daemons(&vm)?;
        let mut checks = Checks::default();
        checks.check("fork bomb", || fork_bomb(&vm));
        checks.check("memory hog", || memory_hog(&vm));
        checks.check("file leak", || file_leak(&vm));
        checks.check("disk hog", || disk_hog(&vm));
        checks.check("no other service has ended", || {
            let after = daemons(&vm)?;
            ensure!(after == before, "they were {before} and are {after}");
            Ok(())
        });
        checks.check("power off", || power_off(&vm));
        checks.check("clean file system", || {
            disk::require_clean_state(vm.machine())
        });
        checks.verdict()
    })
}

/// It gets no more processes than it may have, and a restart ends all of them.
fn fork_bomb(vm: &Vm) -> Result<()> {
    const BRED: &str = "pgrep -cfx '/proc/self/exe breed' || true";
    tell(vm, "breed")?;
    vm.ssh_within(
        &format!("until [ $({BRED}) -ge 60 ]; do sleep 0.2; done"),
        secs(20),
    )?;
    logins(vm)?;
    let bred: u32 = vm.ssh(BRED)?.trim().parse()?;
    ensure!(bred < 64, "{bred} processes");
    vm.ssh_within("tare service restart t-greedy", secs(20))?;
    let left = vm.ssh(BRED)?;
    ensure!(left == "0\n", "{left} processes are left");
    Ok(())
}

/// It is what the kernel kills, and it is started again.
fn memory_hog(vm: &Vm) -> Result<()> {
    let mark = vm.console().mark();
    tell(vm, "hoard")?;
    logins(vm)?;
    vm.wait_line_after(mark, "t-greedy ended with SIGKILL", secs(30))?;
    wait_service(vm, "t-greedy", "ready", secs(20))
}

/// It gets no more open files than it may have, which is no trouble to others.
fn file_leak(vm: &Vm) -> Result<()> {
    let said = vm.ssh(&format!("{ASK} leak >&3; cat <&3"))?;
    let (count, why) = said.split_once(": ").unwrap_or_default();
    ensure!(why.starts_with("Too many open files"), "it says {said:?}");
    let count: u32 = count.parse()?;
    ensure!((900..1024).contains(&count), "it has opened {count} files");
    logins(vm)?;
    vm.ssh_within("tare service restart t-greedy", secs(20))?;
    wait_service(vm, "t-greedy", "ready", secs(20))
}

/// Nothing is left on the state partition; once it lets go of it, all goes on. Nobody is killed for
/// writing faster than a disk takes it.
fn disk_hog(vm: &Vm) -> Result<()> {
    const HOG: &str = "/var/lib/greedy/hog";
    let fill = format!("{ASK} 'fill {HOG}' >&3; timeout 300 cat <&3");
    std::thread::scope(|scope| {
        vm.qmp().slow_disk(5 << 20)?;
        let full = scope.spawn(|| vm.ssh_within(&fill, secs(120)));
        logins(vm)?;
        vm.qmp().slow_disk(0)?;
        let full = full.join();
        let said = full.map_err(|_| anyhow::anyhow!("the thread that waits has ended"))??;
        ensure!(said == "no storage space\n", "it says {said:?}");
        Ok(())
    })?;
    logins(vm)?;
    let removed = vm.ssh(&format!("{ASK} 'remove {HOG}' >&3; cat <&3"))?;
    ensure!(removed == "Ok(())\n", "it says {removed:?}");
    Ok(())
}

/// Sends a command that is not answered.
fn tell(vm: &Vm, command: &str) -> Result<()> {
    vm.ssh(&format!("{ASK} {command} >&3")).map(drop)
}
