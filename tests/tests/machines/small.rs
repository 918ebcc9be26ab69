//! The smallest machine that Tare supports: 256 MiB.

use anyhow::Result;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{power_off, require_no_failed_service, run_container, wait_apps};
use tare_tests::{Checks, disk, user_data};

pub(crate) fn lives_in_256_mebibytes(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .memory(256)
        .user_data(user_data::DEMO)
        .boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("ssh", || vm.wait_ssh(secs(20)).map(drop));
    checks.check("the app of the user-data", || wait_apps(&vm));
    checks.check("run a container", || run_container(&vm));
    checks.check("no failed service", || require_no_failed_service(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}
