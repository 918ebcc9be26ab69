//! What is kept of a boot that ended in a kernel panic.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::Checks;
use tare_tests::guest::{mentions, power_off, wait_apps, wait_service};

pub(crate) fn the_kernels_last_words_are_kept(image: &Image) -> Result<()> {
    let machine = Vm::of(image)
        .user_data("")
        .tolerate("Kernel panic")
        .tolerate("Call Trace");
    let vm = machine.boot()?;
    vm.wait_ready()?;
    wait_service(&vm, "engine", "ready", secs(60))?;
    wait_apps(&vm)?;
    let mark = vm.console().mark();
    // In the background, because a session would wait for a machine that is gone.
    vm.ssh(
        "docker run --rm --privileged tare/demo sh -c 'echo c > /proc/sysrq-trigger' \
         < /dev/null > /dev/null 2>&1 &",
    )?;
    vm.wait_line_after(
        mark,
        "Kernel panic - not syncing: sysrq triggered crash",
        secs(30),
    )?;
    vm.wait_ready_after(mark, secs(120))?;
    let mut checks = Checks::default();
    checks.check("noted in the log", || noted(&vm));
    checks.check("kept", || {
        mentions(
            &vm,
            "cat /var/log/tare/crash/*/dmesg.txt",
            "sysrq triggered crash",
        )
    });
    checks.check("once", || noted_once_after_restart(&vm));
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}

const COUNT_NOTES: &str =
    "grep -c 'kernel pstore an earlier boot crashed' /var/log/tare/current.log";

fn noted(vm: &Vm) -> Result<()> {
    vm.ssh_within(
        &format!("until [ $({COUNT_NOTES}) = 1 ]; do sleep 0.1; done"),
        secs(30),
    )?;
    mentions(
        vm,
        "cat /var/log/tare/current.log",
        "Kernel panic - not syncing: sysrq triggered crash",
    )
}

fn noted_once_after_restart(vm: &Vm) -> Result<()> {
    vm.ssh("kill -9 $(pgrep -x tare-log); until pgrep -x tare-log; do sleep 0.1; done")?;
    wait_service(vm, "log", "ready", secs(30))?;
    let notes = vm.ssh(COUNT_NOTES)?;
    ensure!(notes.trim() == "1", "{notes} notes");
    mentions(vm, "ls /var/log/tare/crash/*/", "dmesg-efi_pstore-")
}
