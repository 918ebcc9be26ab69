//! The cgroups and sockets of the engine's processes, which let containers outlive the engine.

use anyhow::{Context, Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::says;

/// Sees every process of the machine, with the right to inspect those of the engine.
const INSPECT: &str = "docker run --rm --privileged --pid host --net host tare/demo busybox";

/// PID 1 kills `/services/engine` and limits `/containers`. ssh is in `/services/ssh`.
pub(crate) fn cgroups(vm: &Vm) -> Result<()> {
    for (program, cgroup) in [
        ("tare-engine", "/../engine"),
        ("dockerd", "/../engine"),
        ("containerd", "/../engine"),
        ("containerd-shim", "/../../containers/shims"),
    ] {
        let cgroups = format!("for p in $(pgrep -x {program}); do cat /proc/$p/cgroup; done");
        let want = format!("0::{cgroup}\n");
        says(vm, &format!("{{ {cgroups}; }} | sort -u"), &want)?;
    }
    let container = "docker inspect -f '{{.State.Pid}} {{.Id}}' ticker";
    let container = vm.ssh(container)?;
    let (pid, id) = container.trim_end().split_once(' ').context("no pid")?;
    says(
        vm,
        &format!("cat /proc/{pid}/cgroup"),
        &format!("0::/../../containers/user/{id}\n"),
    )
}

/// Only dockerd gets the socket that PID 1 holds, because it gives access to every right.
pub(crate) fn socket(vm: &Vm) -> Result<()> {
    let listens = "$4 == \"00010000\" && $8 ~ /docker.sock$/ { print $7 }";
    let inode = vm.ssh(&format!("awk '{listens}' /proc/net/unix"))?;
    let inode = inode.trim_end();
    ensure!(inode.parse::<u64>().is_ok(), "sockets {inode:?}");
    for (processes, holds) in [("-x dockerd", true), ("containerd", false)] {
        let look = format!(
            "for p in '\"$(pgrep -d ' ' {processes})\"'; do ls -l /proc/$p/fd; cat /proc/$p/environ; done"
        );
        let count = format!("{INSPECT} sh -c '{look} | grep -c -e \"socket:.{inode}\" -e LISTEN_'");
        let count = vm.ssh_within(&format!("{count} || true"), secs(30))?;
        ensure!(holds == (count != "0\n"), "{processes}: {count}");
    }
    Ok(())
}

/// dockerd's rule for the app's port is back, and its placeholder is gone.
pub(crate) fn rules(vm: &Vm) -> Result<()> {
    let save = format!("{INSPECT} chroot /proc/$(pgrep -x dockerd)/root iptables-save");
    let rules = vm.ssh_within(&save, secs(30))?;
    let count = |text: &str| rules.lines().filter(|rule| rule.contains(text)).count();
    let counts = (
        count("-A DOCKER ! -i br-"),
        count("TARE-HOLD"),
        count("--ctstate DNAT -j ACCEPT"),
    );
    ensure!(counts == (1, 0, 0), "{counts:?} in {rules}");
    Ok(())
}
