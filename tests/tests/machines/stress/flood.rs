//! Floods of events that PID 1 cannot refuse.

use super::alive::{make, require_alive};
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::asleep;
use tare_tests::guest::{says, wait_says, wait_service};

/// PID 1 inherits all of them at once, and a second later none is left.
pub(crate) fn zombies(vm: &Vm) -> Result<()> {
    // The default depends on the size of memory.
    make(vm, "write /proc/sys/kernel/threads-max 30000")?;
    make(vm, "zombies 10000")?;
    // Other processes may be zombies for a moment.
    let zombies = "cat /proc/[0-9]*/stat 2>/dev/null | grep -c '(tare-test-.*) Z '";
    wait_says(vm, zombies, "10000\n", secs(60))?;
    let end = "pkill -KILL -fx '/usr/bin/tare-test-service fault 7005'";
    let later = vm.scaled(secs(1)).as_secs();
    let count = format!("{end}; sleep {later}; {zombies}; true");
    says(vm, &count, "0\n")?;
    wait_service(vm, "t-fault", "ready", secs(30))
}

pub(crate) fn sigchld(vm: &Vm) -> Result<()> {
    let many = "for ((i = 0; i < 100000; i++)); do kill -CHLD 1; done";
    vm.ssh_within(many, secs(60)).map(drop)
}

/// All but those that tell PID 1 to shut down. SIGKILL and SIGSTOP do not stop it, even from a service that has the
/// host's process ids and CAP_KILL.
pub(crate) fn signals(vm: &Vm) -> Result<()> {
    let all = "for signal in {1..64} KILL STOP SEGV; do \
        case $signal in 2 | 15 | 38 | 39) ;; *) kill -s $signal 1 2>/dev/null ;; esac; done; \
        ps -o stat= 1 | grep -c T; true";
    says(vm, all, "0\n")?;
    // Sent to a service, which a signal without a name kills as well.
    let mark = vm.console().mark();
    vm.ssh("kill -s RTMIN+3 $(pgrep -fx '/usr/bin/tare-test-service fault 7005')")?;
    vm.wait_line_after(mark, "t-fault ended with SIGRTMIN+3", secs(10))?;
    wait_service(vm, "t-fault", "ready", secs(30))
}

/// Every process but PID 1, including the session that kills them.
pub(crate) fn kill_all(vm: &Vm) -> Result<()> {
    let session = vm.ssh_output("kill -KILL -- -1; sleep 60")?;
    ensure!(!session.status.success(), "the session outlives its end");
    vm.wait_ssh(secs(30))?;
    for service in ["console", "dhcp", "log", "ssh", "t-fault", "t-talk", "time"] {
        wait_service(vm, service, "ready", secs(60))?;
    }
    Ok(())
}

/// The kernel waits ten milliseconds for each byte that a blocked console does not accept, and a logging process must
/// also write other pending lines. Lines that are not shown are logged, and a minute later lines are shown again.
pub(crate) fn unread_console(vm: &Vm) -> Result<()> {
    let unread = vm.console().unread();
    // More than the buffers outside the machine can hold.
    make(vm, "kmsg 1200")?;
    let alive = (0..4).try_for_each(|_| require_alive(vm));
    drop(unread);
    alive?;
    wait_says(vm, "tare logs | grep -c ' flood '", "1200\n", secs(60))?;
    let logged = "tare logs | grep -m 1 -o 'a console takes nothing'";
    says(vm, logged, "a console takes nothing\n")?;
    let shown =
        "until read -r level _ </proc/sys/kernel/printk && [ $level != 1 ]; do sleep 1; done";
    asleep(|| vm.ssh_within(shown, secs(60)))?;
    let mark = vm.console().mark();
    require_alive(vm)?;
    vm.wait_line_after(mark, "t-talk ended with SIGKILL", secs(10))
        .map(drop)
}
