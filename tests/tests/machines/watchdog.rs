//! A machine whose PID 1 hangs.

use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, Watchdog, secs};
use tare_tests::guest::{says, wait_apps};
use tare_tests::{asleep, user_data};

/// Freezes the cgroup of PID 1. A container with the host's cgroups and every right can.
const FREEZE: &str = "docker run --rm --privileged --cgroupns=host -v /sys/fs/cgroup:/host tare/demo \
    sh -c 'echo 1 > /host/init/cgroup.freeze'";

/// The watchdog's timeout, in seconds.
const TIMEOUT: &str =
    "docker run --rm --privileged tare/demo cat /sys/class/watchdog/watchdog0/timeout";

pub(crate) fn a_machine_whose_pid_1_hangs_is_reset(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(&format!(
            "{}\n[watchdog]\ntimeout = '10s'\n",
            user_data::DEMO
        ))
        .watchdog(Watchdog::Reset)
        .exit_on_reboot()
        .boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    says(&vm, TIMEOUT, "10\n")?;
    // Three times the timeout, so it is pinged.
    asleep(|| vm.ssh_within("sleep 30", secs(40)))?;
    vm.ssh(FREEZE)?;
    let exit = vm.wait_exit(secs(30))?;
    ensure!(exit.reason.as_deref() == Some("guest-reset"), "{exit:?}");
    Ok(())
}
