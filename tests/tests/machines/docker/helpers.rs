//! Small programs and links that stand in for what dockerd and `docker` look for.

use anyhow::Result;
use tare_qemu::{Vm, secs};
use tare_tests::guest::wait_says;

/// The log driver's default address is the machine's log.
pub(super) fn syslog(vm: &Vm) -> Result<()> {
    let run = "docker run --rm --log-driver syslog --log-opt tag=spoken tare/demo sh -c 'echo out; echo err >&2'";
    vm.ssh_within(run, secs(60))?;
    for (priority, text) in [(6, "out"), (3, "err")] {
        let count = format!(
            "tare logs --service spoken --json | grep -c '\"priority\":{priority},.*\"stream\":\"syslog\",.*: {text}\"'"
        );
        wait_says(vm, &count, "1\n", secs(10))?;
    }
    Ok(())
}
