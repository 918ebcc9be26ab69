//! User-data for services: what the page shows, and what they cannot run with.

use anyhow::Result;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, require_no_failed_service, wait_service};
use tare_tests::{Checks, QUIET, examples, user_data};

use crate::stress::lack::shout;

/// The page whose user-data is used.
const PAGE: &str = include_str!("../../../../docs/services.md");

const USER_DATA: &str = "
[services.log.lifecycle]
after = ['ssh:ready']

[services.ssh.lifecycle]
after = ['log:ready']

[services.t-exec.lifecycle]
health = { tcp = 1 }

[services.storage.resources]
memory-max = '768MiB'
";

pub(crate) fn is_named_and_left_out(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(&format!("{}{USER_DATA}", user_data::NO_ENGINE))
        .boot()?;
    for problem in [
        "fw_cfg:6:1: `services.log.lifecycle.after` is left out: services wait for each other: log -> ssh -> log",
        "fw_cfg:9:1: `services.ssh.lifecycle.after` is left out: services wait for each other: log -> ssh -> log",
        "fw_cfg:11:18: `services.t-exec.lifecycle` is left out: tcp and http need the host's network namespace",
        "fw_cfg:14:11: `services.storage` is left out: it runs before user-data is read",
    ] {
        vm.wait_line(&format!("tare: user-data: {problem}"), secs(30))?;
    }
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    wait_service(&vm, "log", "ready", secs(20))?;
    power_off(&vm)
}

pub(crate) fn a_machine_without_a_log_goes_on(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(&format!("{QUIET}services.log.enabled = false\n"))
        .boot()?;
    vm.wait_ready()?;
    wait_service(&vm, "t-greedy", "ready", secs(30))?;
    shout(&vm)?;
    require_no_failed_service(&vm)?;
    power_off(&vm)
}

/// All that [`PAGE`] shows.
fn shown() -> String {
    examples::blocks(PAGE, "toml user-data").concat()
}

pub(crate) fn of_the_page_is_in_force(image: &Image) -> Result<()> {
    let vm = Vm::of(image).direct().user_data(&shown()).boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    let mut checks = Checks::default();
    for (service, means) in [
        ("engine", "lifecycle.start = \"on-demand\""),
        ("ssh", "lifecycle.health.interval = \"1min\""),
        ("ssh", "lifecycle.restart.limit.starts = 10"),
        ("ssh", "lifecycle.stop.grace = \"3s\""),
        ("time", "lifecycle.after = [\"state:mounted\"]"),
    ] {
        checks.check(means, || {
            mentions(&vm, &format!("tare service show {service}"), means)
        });
    }
    wait_service(&vm, "engine", "waiting", secs(20))?;
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}
