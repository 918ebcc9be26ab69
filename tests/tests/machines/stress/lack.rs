//! A lack of resources that PID 1 needs.

use super::alive::{TALK, make, require_alive, require_idle, trouble};
use anyhow::{Result, ensure};
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, says, wait_service};

/// PID 1 cannot open anything, reports it, and does not retry in a loop.
pub(crate) fn descriptors(vm: &Vm) -> Result<()> {
    let mark = vm.console().mark();
    vm.ssh(&format!(
        "prlimit --pid 1 --nofile=8: && pkill -KILL -fx '{TALK}'"
    ))?;
    let wants = "t-talk cannot start: prepare output: Too many open files";
    let said = vm.wait_line_after(mark, wants, secs(30));
    let idle = said.and_then(|_| require_idle(vm, "tare status"));
    vm.ssh("prlimit --pid 1 --nofile=1048576:")?;
    idle
}

/// The kernel refuses to fork for any process.
pub(crate) fn process_ids(vm: &Vm) -> Result<()> {
    let mark = vm.console().mark();
    let hold = format!(
        "old=$(pgrep -fx '{TALK}'); exec 3<>/dev/tcp/127.0.0.1/7005; \
         echo 'hold 12 /proc/sys/kernel/threads-max 20' >&3; read -t 1 -u 3; kill -KILL $old; \
         read -r -u 3 a; echo \"$a\""
    );
    let said = vm.ssh_within(&hold, secs(30))?;
    ensure!(said == "done\n", "{said}");
    let wants = "t-talk cannot start: clone3 into /sys/fs/cgroup/services/t-talk: EAGAIN";
    vm.wait_line_after(mark, wants, secs(10)).map(drop)
}

/// A service fills a file system that it shares with others, which is the host's `/run`. The log cannot accept lines
/// from services, which block, until there is room.
pub(crate) fn room(vm: &Vm) -> Result<()> {
    /// Begins a command to a service that writes much.
    const ASK: &str = "exec 3<>/dev/tcp/127.0.0.1/7009; echo";
    let log = vm.ssh("pgrep -x tare-log")?;
    let mark = vm.console().mark();
    let full = trouble(vm, "fill /run/t/fill")?;
    ensure!(full == "no storage space\n", "{full}");
    vm.ssh(&format!("{ASK} 'shout 1' >&3"))?;
    vm.wait_line_after(mark, "t-greedy.stdout: No space left on device", secs(30))?;
    mentions(vm, "tare service list", "t-talk")?;
    make(vm, "free /run/t/fill")?;
    // The service runs commands one after the other.
    let said = vm.ssh_within(&format!("{ASK} 'shout 0' >&3; cat <&3"), secs(60))?;
    ensure!(said == "0\n", "it says {said:?}");
    says(vm, "pgrep -x tare-log", &log)
}

/// No service blocks on a stopped log; what is written once it runs again is logged.
pub(crate) fn log(vm: &Vm) -> Result<()> {
    says(vm, "tare service stop log", "log is stopped\n")?;
    shout(vm)?;
    says(vm, "tare service start log", "log is ready\n")?;
    vm.login("true", secs(30))?;
    let logged =
        "until tare logs --service ssh -n 20 | grep -q 'Accepted publickey'; do sleep 0.2; done";
    vm.ssh_within(logged, secs(30)).map(drop)
}

/// A service that writes more than its pipe holds still answers.
pub(crate) fn shout(vm: &Vm) -> Result<()> {
    let said = vm.ssh_within(
        "exec 3<>/dev/tcp/127.0.0.1/7009; echo 'shout 2' >&3; cat <&3",
        secs(20),
    )?;
    let lines: u32 = said.trim().parse()?;
    ensure!(lines > 10_000, "{lines} lines are less than a pipe holds");
    Ok(())
}

/// The kernel kills only the process that took the memory.
pub(crate) fn memory(vm: &Vm) -> Result<()> {
    let others =
        "tare service list --json | grep -E '\"(name|pid)\"' | paste - - | grep -v t-fault";
    let killed = || vm.console().text().matches("Out of memory: Killed").count();
    let (mark, before, earlier) = (vm.console().mark(), vm.ssh(others)?, killed());
    trouble(vm, "hog")?;
    vm.wait_line_after(mark, "t-fault ended with SIGKILL", secs(30))?;
    wait_service(vm, "t-fault", "ready", secs(30))?;
    let after = vm.ssh(others)?;
    ensure!(
        before == after,
        "others have ended too: they were\n{before}\nand are\n{after}"
    );
    let kills = killed() - earlier;
    ensure!(kills == 1, "the kernel has ended {kills} processes");
    Ok(())
}

/// Writers block. PID 1 does not, because it does not use the disk.
pub(crate) fn writes(vm: &Vm) -> Result<()> {
    vm.qmp().slow_disk(1)?;
    let write = "dd if=/dev/zero of=/root/zero bs=1M count=4 conv=fsync >/dev/null 2>&1 & echo $!";
    let writer = vm.ssh(write)?;
    let writer = writer.trim();
    let alive = (0..3).try_for_each(|_| require_alive(vm));
    let waits = says(vm, &format!("ps -o stat= {writer} | cut -c1"), "D\n");
    vm.qmp().slow_disk(0)?;
    alive.and(waits)?;
    let end = format!("while [ -e /proc/{writer} ]; do sleep 0.1; done; stat -c %s /root/zero");
    says(vm, &end, "4194304\n")
}

/// As after a disk error: the log keeps what it can in memory.
pub(crate) fn writable_disk(vm: &Vm) -> Result<()> {
    // The kernel refuses while a file is open for writing.
    says(vm, "tare service stop log", "log is stopped\n")?;
    make(vm, "freeze /volume")?;
    says(vm, "tare service start log", "log is ready\n")?;
    vm.wait_line("log: cannot write: Read-only file system", secs(30))?;
    mentions(vm, "touch /root/x 2>&1; true", "Read-only file system")
}
