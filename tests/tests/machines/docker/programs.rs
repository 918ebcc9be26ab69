//! Programs that people run in containers, from Debian's packages, doing what they are for.

pub(crate) mod platforms;
pub(crate) mod servers;

use anyhow::Result;
use tare_qemu::{Vm, secs};
use tare_tests::debian;

/// The folder on the machine with a test's Dockerfile.
const PROJECT: &str = "/srv/programs";

/// Imports the packages of the machine's second disk as the image `debian`, and writes `files` into the project.
fn prepare(vm: &Vm, files: &[(&str, &str)]) -> Result<()> {
    debian::import(vm, "/dev/vdb", "debian")?;
    for (name, text) in files {
        let write = format!("mkdir -p {PROJECT} && cat > {PROJECT}/{name} <<'EOF'\n{text}EOF");
        vm.ssh(&write)?;
    }
    Ok(())
}

/// What `command` prints in the running container `name`.
fn inside(vm: &Vm, name: &str, command: &str) -> Result<String> {
    vm.ssh_within(&format!("docker exec {name} {command}"), secs(60))
}
