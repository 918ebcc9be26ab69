//! The same for a service of the image: `t-greedy` of `tests/services`, which has 64 MiB and 64 processes.

use super::{DISK, LOGINS, logins};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, says, starts, wait_apps, wait_service};
use tare_tests::{Checks, disk};

/// Begins a command, which ends with `>&3`.
const ASK: &str = "exec 3<>/dev/tcp/127.0.0.1/7009; echo";

pub(crate) fn a_greedy_service_harms_only_itself(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data("")
        .disk_size(DISK)
        // The kernel reports the process that it killed, and where.
        .tolerate("Out of memory")
        .tolerate("Call Trace")
        .boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    wait_service(&vm, "t-greedy", "ready", secs(30))?;
    wait_service(&vm, "time", "ready", secs(30))?;
    wait_apps(&vm)?;
    let before = starts_of_others(&vm)?;
    let mut checks = Checks::default();
    checks.check("fork bomb", || fork_bomb(&vm));
    checks.check("memory hog", || memory_hog(&vm));
    checks.check("file leak", || file_leak(&vm));
    checks.check("log flood", || log_flood(&vm));
    checks.check("disk hog", || disk_hog(&vm));
    checks.check("what would change the kernel", || read_only(&vm));
    checks.check("what reveals the kernel", || masked(&vm));
    checks.check("no other service has ended", || {
        let after = starts_of_others(&vm)?;
        ensure!(after == before, "starts were {before:?} and are {after:?}");
        Ok(())
    });
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// The service gets no more processes than its limit, and a restart ends all of them.
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

/// The kernel kills the service, and it is started again.
fn memory_hog(vm: &Vm) -> Result<()> {
    let mark = vm.console().mark();
    tell(vm, "hoard")?;
    logins(vm)?;
    vm.wait_line_after(mark, "t-greedy ended with SIGKILL", secs(30))?;
    wait_service(vm, "t-greedy", "ready", secs(20))
}

/// The service gets no more open files than its limit, and others are not affected.
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

/// The state partition is full; once the service frees it, everything continues. No service is killed for writing
/// faster than the disk.
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

/// The service loses what exceeds the limit, and a record says how much. Lines of other services are kept.
fn log_flood(vm: &Vm) -> Result<()> {
    const SECONDS: u64 = 20;
    let flood = format!("{ASK} 'shout {SECONDS}' >&3; cat <&3");
    let before = accepted(vm)?;
    let written = std::thread::scope(|scope| {
        let flood = scope.spawn(|| vm.ssh_within(&flood, secs(3 * SECONDS)));
        logins(vm)?;
        let written = flood.join();
        written.map_err(|_| anyhow::anyhow!("the thread that waits has ended"))?
    })?;
    let accepted = accepted(vm)? - before;
    ensure!(
        accepted >= LOGINS,
        "{accepted} of {LOGINS} logins are in the log"
    );
    account(vm, written.trim().parse()?)
}

/// Waits until as many lines of the flood as were `written` are in the log or noted there as dropped.
fn account(vm: &Vm, written: u64) -> Result<()> {
    // A record's service, stream, and first words.
    const COUNT: &str = "cat /var/log/tare/*.log | awk '$5 == \"t-greedy\" && $6 == \"dropped\" { dropped += $7 } \
        $5 == \"t-greedy\" && $7 == \"shout\" { kept++ } END { print kept + dropped, dropped + 0 }'";
    let wait = format!(
        "until said=$({COUNT}); [ \"${{said% *}}\" = {written} ]; do sleep 0.5; done; echo $said"
    );
    let said = vm.ssh_within(&wait, secs(20));
    let said = said.with_context(|| format!("{:?} of {written} lines", vm.ssh(COUNT)))?;
    ensure!(!said.ends_with(" 0\n"), "no line of {written} was dropped");
    Ok(())
}

/// The number of logins in the log.
fn accepted(vm: &Vm) -> Result<u32> {
    let count = "cat /var/log/tare/*.log | grep -c ' ssh stderr Accepted publickey'";
    Ok(vm.ssh(count)?.trim().parse()?)
}

/// Only the image's services: those of tests come and go.
fn starts_of_others(vm: &Vm) -> Result<BTreeMap<String, u64>> {
    let mut starts = starts(vm)?;
    starts.retain(|name, _| !name.starts_with("t-"));
    Ok(starts)
}

/// Read-only even for root, in a service that sees all of `/proc`.
fn read_only(vm: &Vm) -> Result<()> {
    for file in ["/proc/sys/kernel/domainname", "/proc/sysrq-trigger"] {
        // `h` would only print what the other letters do.
        let write = format!("(echo h > {file}) 2>&1 || true");
        mentions(vm, &write, "Read-only file system")?;
    }
    Ok(())
}

/// Hidden from a service that sees all of `/proc` and `/sys`; other services see only processes.
fn masked(vm: &Vm) -> Result<()> {
    says(vm, "cat /proc/keys /proc/timer_list | wc -c", "0\n")?;
    says(vm, "ls -A /sys/firmware | wc -l", "0\n")?;
    for (path, want) in [("/proc/1/status", "0\n"), ("/proc/sys", "1\n")] {
        let check =
            format!("tare service exec t-greedy -- /usr/bin/tare-test-service check {path}");
        says(vm, &format!("{check}; echo $?"), want)?;
    }
    Ok(())
}

/// Sends a command without waiting for an answer.
fn tell(vm: &Vm, command: &str) -> Result<()> {
    vm.ssh(&format!("{ASK} {command} >&3")).map(drop)
}
