//! Whether PID 1 still works, and what it uses.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tare_qemu::{Vm, secs};
use tare_tests::note;

/// The service that is killed to see whether PID 1 restarts it.
pub(crate) const TALK: &str = "/usr/bin/tare-test-service talk 7001";

/// From the start of `tare` to its exit, without the login.
const ANSWER: Duration = secs(1);

/// The control socket answers in time before and while PID 1 reports a service that was killed, and that runs again.
pub(crate) fn require_alive(vm: &Vm) -> Result<()> {
    let works = format!(
        "until old=$(pgrep -fx '{TALK}'); do sleep 0.1; done; kill -KILL $old; \
         TIMEFORMAT=%R; {{ time tare status >/dev/null; sleep 0.3; time tare status >/dev/null; }} 2>&1; \
         until new=$(pgrep -fx '{TALK}') && [ $new != $old ]; do sleep 0.1; done; \
         until tare service show t-talk | grep -q '^ready'; do sleep 0.1; done"
    );
    let late = "PID 1 does not do its work any more";
    let said = vm.ssh_within(&works, secs(30)).context(late)?;
    let took: Vec<f64> = said.lines().map(str::parse).collect::<Result<_, _>>()?;
    note(&format!("`tare status` takes {took:?} s"));
    let most = vm.scaled(ANSWER).as_secs_f64();
    ensure!(
        took.len() == 2 && took.iter().all(|&took| took <= most),
        "`tare status` takes {took:?} s"
    );
    Ok(())
}

/// The answer of the service `t-fault` to `command`, from a shell that starts no process.
pub(crate) fn trouble(vm: &Vm, command: &str) -> Result<String> {
    let talk = format!(
        "exec 3<>/dev/tcp/127.0.0.1/7005; echo '{command}' >&3; read -r -u 3 a; echo \"$a\""
    );
    vm.ssh_within(&talk, secs(30))
}

/// As [`trouble`], which must succeed.
pub(crate) fn make(vm: &Vm, command: &str) -> Result<()> {
    let said = trouble(vm, command)?;
    ensure!(said == "done\n", "{command}: {said}");
    Ok(())
}

/// PID 1's memory in KiB, without its file pages, which the kernel drops and reads again at will.
pub(crate) fn memory(vm: &Vm) -> Result<u64> {
    let said = trouble(vm, "anonymous")?;
    said.trim()
        .parse()
        .with_context(|| format!("anonymous: {said}"))
}

/// Processor time that PID 1 may use during the five seconds of a command: a hundredth, on a real CPU.
const IDLE: Duration = Duration::from_millis(50);

/// PID 1 uses no more than that while `command` runs.
pub(crate) fn require_idle(vm: &Vm, command: &str) -> Result<()> {
    // In hundredths of a second (proc_pid_stat(5)).
    let ticks = "awk '{print $14 + $15}' /proc/1/stat";
    let measure = format!(
        "before=$({ticks}); timeout 5 {command} >/dev/null 2>&1; echo $(($({ticks}) - before))"
    );
    let ticks: u64 = vm.ssh_within(&measure, secs(20))?.trim().parse()?;
    let (took, most) = (Duration::from_millis(10 * ticks), vm.scaled(IDLE));
    note(&format!(
        "PID 1 takes {took:?} of 5 s, and may take {most:?}"
    ));
    ensure!(took <= most, "PID 1 takes {took:?} of 5 s");
    Ok(())
}
