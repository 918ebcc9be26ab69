//! The engine on demand: nothing of it runs before the first request.

use super::talk::{state, wait_state};
use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{fetch_page, power_off, run_container, wait_apps};
use tare_tests::{Checks, user_data};

const ON_DEMAND: &str = "[services.engine.lifecycle]\nstart = 'on-demand'\n";

pub(crate) fn the_engine_starts_when_docker_is_used(image: &Image) -> Result<()> {
    let vm = Vm::of(image).direct().user_data(ON_DEMAND).boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    let mut checks = Checks::default();
    checks.check("it waits", || {
        ensure!(state(&vm, "engine")? == "waiting");
        ensure!(vm.ssh("pgrep -c 'dockerd|containerd' || true")? == "0\n");
        vm.ssh("tare status --check").map(drop)
    });
    checks.check("docker just works", || {
        vm.ssh_within("docker version", secs(90))?;
        // Once the images of the system are loaded.
        wait_state(&vm, "engine", "ready")?;
        // Without apps, the service `apps` has nothing to do, but waits for the engine.
        wait_apps(&vm)?;
        run_container(&vm)
    });
    checks.check("docker waits while the engine restarts", || {
        vm.ssh("pkill -KILL -x dockerd")?;
        vm.ssh_within("docker version", secs(90))?;
        wait_state(&vm, "engine", "ready")
    });
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}

pub(crate) fn the_engine_starts_when_apps_need_it(image: &Image) -> Result<()> {
    let user_data = format!("{}\n{ON_DEMAND}", user_data::DEMO);
    let vm = Vm::of(image)
        .direct()
        .user_data(&user_data)
        .forward(80)
        .boot()?;
    vm.wait_ready()?;
    wait_apps(&vm)?;
    ensure!(state(&vm, "engine")? == "ready");
    fetch_page(&vm)?;
    power_off(&vm)
}
