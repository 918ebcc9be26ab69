//! What an idle container costs, of a hundred.

use anyhow::{Result, ensure};
use tare_qemu::secs;

use crate::answers::Idle;
use crate::boots::power_off;
use crate::figures::Figure;
use crate::guest::{DOCKER_READY, IDLE, import_image};
use crate::results::Results;
use crate::systems::{Name, Systems};

const CONTAINERS: u32 = 100;
/// Of the machine, in MiB: containers need some ten each.
const MEMORY: u32 = 3072;

/// Boots `name` once more, with more memory, and starts containers that sleep.
///
/// # Errors
/// The machine does not come up, or a container does not run.
pub(crate) fn measure(systems: &Systems, name: Name, results: &mut Results) -> Result<()> {
    let vm = systems.builder(name).memory(MEMORY).boot()?;
    vm.wait_ssh(secs(120))?;
    vm.ssh_within(DOCKER_READY, secs(120))?;
    import_image(&vm, &systems.busybox)?;
    let used = || -> Result<f64> { Ok(Idle::parse(&vm.ssh_within(IDLE, secs(300))?)?.memory) };
    let before = used()?;
    let start = format!(
        "for n in $(seq {CONTAINERS}); do docker run -d tare/bench /usr/bin/busybox sleep 99999 || exit; done >/dev/null"
    );
    vm.ssh_within(&start, secs(900))?;
    let after = used()?;
    let running = vm.ssh("docker ps -q | wc -l")?;
    ensure!(
        running.trim() == CONTAINERS.to_string(),
        "{running} of {CONTAINERS} containers run"
    );
    let each = (after - before) / f64::from(CONTAINERS);
    results.add(name, Figure::IdleContainer, each);
    vm.ssh_within("docker rm -f $(docker ps -q) >/dev/null", secs(600))?;
    power_off(name, &vm)?;
    Ok(())
}
