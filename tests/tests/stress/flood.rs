//! More than anybody needs of what comes by itself.

use crate::alive::make;
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{says, wait_service};

/// They become PID 1's all at once, and a second later there is none.
pub(crate) fn zombies(vm: &Vm) -> Result<()> {
    // The usual number follows from the size of memory.
    make(vm, "write /proc/sys/kernel/threads-max 30000")?;
    make(vm, "zombies 10000")?;
    let zombies = "ps -eo stat= | grep -c '^Z'";
    let end = "pkill -KILL -fx '/usr/bin/tare-test-service fault 7005'; sleep 1";
    let counts = format!("{zombies}; {end}; {zombies}; true");
    says(vm, &counts, "10000\n0\n")?;
    wait_service(vm, "t-fault", "ready", secs(30))
}

pub(crate) fn sigchld(vm: &Vm) -> Result<()> {
    let many = "for ((i = 0; i < 100000; i++)); do kill -CHLD 1; done";
    vm.ssh_within(many, secs(60)).map(drop)
}

/// But for those by which PID 1 is told to end the machine. Neither SIGKILL nor SIGSTOP is among those, from a service
/// that has the host's process ids and CAP_KILL.
pub(crate) fn signals(vm: &Vm) -> Result<()> {
    let all = "for signal in {1..64} KILL STOP SEGV; do \
        case $signal in 2 | 15 | 38 | 39) ;; *) kill -s $signal 1 2>/dev/null ;; esac; done; \
        ps -o stat= 1 | grep -c T; true";
    says(vm, all, "0\n")
}

/// Every process but PID 1, the session that says so with them.
pub(crate) fn kill_all(vm: &Vm) -> Result<()> {
    let session = vm.ssh_output("kill -KILL -- -1; sleep 60")?;
    ensure!(!session.status.success(), "the session outlives its end");
    vm.wait_ssh(secs(30))?;
    for service in ["console", "dhcp", "log", "ssh", "t-fault", "t-talk", "time"] {
        wait_service(vm, service, "ready", secs(60))?;
    }
    Ok(())
}
