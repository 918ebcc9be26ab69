//! The life of services: what `docs/services.md` promises, on a machine with services that tests control
//! (`tests/services`).

pub(crate) mod engine;
mod ntp;
pub(crate) mod overrides;
pub(crate) mod shown;
pub(crate) mod stubborn;
mod talk;

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use talk::{ask, last_runs, runs, state, tell, wait_runs, wait_state};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{mentions, power_off, says, until_state, wait_service};
use tare_tests::{Checks, asleep, disk};

pub(crate) fn live_as_they_are_described(image: &Image) -> Result<()> {
    let ntp = ntp::Server::start()?;
    let vm = Vm::of(image).direct().user_data(&ntp.user_data()).boot()?;
    vm.wait_ready()?;
    vm.wait_ssh(secs(20))?;
    let mut checks = Checks::default();
    readiness(&vm, &mut checks);
    notify(&vm, &mut checks);
    health(&vm, &mut checks);
    conditions(&vm, &mut checks);
    sockets(&vm, &mut checks);
    restarts(&vm, &mut checks);
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

fn readiness(vm: &Vm, checks: &mut Checks) {
    checks.check("start-timeout", || wait_state(vm, "t-late", "failed"));
    checks.check("http", || wait_state(vm, "t-http", "ready"));
    checks.check("exec in the container", || {
        ensure!(state(vm, "t-exec")? == "starting");
        ensure!(state(vm, "t-path")? == "waiting");
        ask(vm, 7001, "touch /run/t/go")?;
        wait_state(vm, "t-exec", "ready")
    });
    checks.check("tcp and unix", || {
        vm.ssh("tare service start --no-wait t-tcp; tare service start --no-wait t-unix; sleep 2")?;
        let states = [state(vm, "t-tcp")?, state(vm, "t-unix")?];
        ensure!(states == ["starting", "starting"], "{states:?}");
        ask(vm, 7001, "touch /run/t/listen")?;
        wait_state(vm, "t-tcp", "ready")?;
        wait_state(vm, "t-unix", "ready")
    });
    checks.check("MAINPID", || {
        wait_state(vm, "t-fork", "ready")?;
        // Its first process has exited meanwhile; its child is the service.
        vm.ssh_within(
            "until ! pgrep -fx '.*tare-test-service fork'; do sleep 0.2; done",
            secs(20),
        )?;
        ensure!(state(vm, "t-fork")? == "ready" && runs(vm, "t-fork")? == 2);
        let child =
            "grep -h ' t-fork stdout run ' /var/log/tare/*.log | tail -1 | awk '{print $NF}'";
        vm.ssh(&format!("kill -KILL $({child})"))?;
        wait_runs(vm, "t-fork", 3)
    });
    checks.check("EXTEND_TIMEOUT_USEC", || {
        wait_service(vm, "t-slow", "ready", secs(30))?;
        ensure!(runs(vm, "t-slow")? == 1, "it was started again");
        Ok(())
    });
}

fn notify(vm: &Vm, checks: &mut Checks) {
    checks.check("environment", || {
        ensure!(ask(vm, 7001, "env WATCHDOG_USEC")? == "20000000\n");
        ensure!(ask(vm, 7001, "env WATCHDOG_PID")? == "1\n");
        Ok(())
    });
    checks.check("a process of another service is no MAINPID", || {
        tell(vm, 7001, "say MAINPID=2")?;
        vm.wait_line("t-talk: MAINPID=2 is not one of its processes", secs(10))
            .map(drop)
    });
    checks.check("RELOADING that takes too long, STATUS, and READY", || {
        // EXTEND_TIMEOUT_USEC does not shorten its 20 s.
        let words = "say RELOADING=1\\nEXTEND_TIMEOUT_USEC=1\\nSTATUS=half way";
        let soon = format!(
            "{}; sleep 4; tare service show t-talk",
            talk::to(7001, words)
        );
        let said = vm.ssh(&soon)?;
        ensure!(
            said.contains("\nready for ") && said.contains("\nsays      half way\n"),
            "{said}"
        );
        mentions(vm, "tare service list | grep '^t-talk '", "half way")?;
        asleep(|| wait_service(vm, "t-talk", "degraded", secs(40)))?;
        tell(vm, 7001, "say READY=1")?;
        wait_state(vm, "t-talk", "ready")
    });
    checks.check("STOPPING", || {
        let before = runs(vm, "t-talk")?;
        // It does not exit by itself, and its grace is one second.
        tell(vm, 7001, "say STOPPING=1")?;
        wait_runs(vm, "t-talk", before + 1)
    });
    checks.check("WATCHDOG_USEC", || {
        wait_state(vm, "t-talk", "ready")?;
        let before = runs(vm, "t-talk")?;
        tell(vm, 7001, "say WATCHDOG_USEC=600000000")?;
        tell(vm, 7001, "starve")?;
        asleep(|| vm.ssh_within("sleep 25", secs(40)))?;
        ensure!(runs(vm, "t-talk")? == before, "its 20 s still count");
        tell(vm, 7001, "say WATCHDOG_USEC=1000")?;
        wait_runs(vm, "t-talk", before + 1)
    });
    checks.check("a watchdog that is not fed", || {
        wait_state(vm, "t-talk", "ready")?;
        let before = runs(vm, "t-talk")?;
        tell(vm, 7001, "starve")?;
        wait_runs(vm, "t-talk", before + 1)
    });
    checks.check("WATCHDOG=trigger", || {
        wait_state(vm, "t-talk", "ready")?;
        let before = runs(vm, "t-talk")?;
        tell(vm, 7001, "say WATCHDOG=trigger")?;
        wait_runs(vm, "t-talk", before + 1)
    });
}

fn health(vm: &Vm, checks: &mut Checks) {
    checks.check("degraded, and well again", || {
        // Without a login in between: twenty bad answers, which take twenty seconds, would restart it.
        let [ill, well] = ["ill", "well"].map(|command| talk::to(7003, command));
        let [degraded, ready] = ["degraded", "ready"].map(|state| until_state("t-http", state));
        let said = vm.ssh_within(&format!("{ill}; {degraded}; {well}; {ready}"), secs(30))?;
        ensure!(said == "done\ndone\n", "{said}");
        ensure!(runs(vm, "t-http")? == 1, "it was started again");
        Ok(())
    });
    checks.check("degraded, and started again", || {
        tell(vm, 7003, "ill")?;
        wait_runs(vm, "t-http", 2)?;
        wait_state(vm, "t-http", "ready")
    });
    checks.check("asked by a program", || {
        wait_state(vm, "t-exec", "ready")?;
        ensure!(runs(vm, "t-exec")? == 1, "it was started again");
        ask(vm, 7001, "remove /run/t/go")?;
        wait_runs(vm, "t-exec", 2)?;
        ensure!(state(vm, "t-exec")? == "starting");
        ask(vm, 7001, "touch /run/t/go")?;
        wait_state(vm, "t-exec", "ready")
    });
}

fn conditions(vm: &Vm, checks: &mut Checks) {
    checks.check("path:", || wait_service(vm, "t-path", "done", secs(20)));
    checks.check("time:synced", || {
        wait_service(vm, "t-synced", "done", secs(60))
    });
    checks.check("an interval", || interval(vm));
    checks.check("a calendar", || calendar(vm));
    checks.check("on demand of another service", || {
        wait_state(vm, "t-needs", "done")?;
        ensure!(state(vm, "t-spare")? == "ready");
        ensure!(state(vm, "t-idle")? == "waiting");
        Ok(())
    });
}

/// Every ten seconds. The delay until its first line is in the log depends on the emulator.
fn interval(vm: &Vm) -> Result<()> {
    let runs = last_runs(vm, "t-every")?;
    let apart = runs.windows(2).all(|pair| pair[1].1 - pair[0].1 > 5.0);
    ensure!(apart, "it runs at {runs:?}");
    Ok(())
}

/// Once whenever the second is divisible by ten. A start may be late, but not every one.
fn calendar(vm: &Vm) -> Result<()> {
    let runs = last_runs(vm, "t-clock")?;
    // In `2026-11-21T04:12:31.527Z`: up to the tens of seconds, and the second.
    let ticks: BTreeSet<&str> = runs.iter().map(|(wall, _)| &wall[..18]).collect();
    let soon = runs.iter().any(|(wall, _)| wall.as_bytes()[18] < b'3');
    ensure!(ticks.len() == runs.len() && soon, "it runs at {runs:?}");
    Ok(())
}

fn sockets(vm: &Vm, checks: &mut Checks) {
    let echo =
        "exec 3<>/dev/tcp/127.0.0.1/7004; echo hello >&3; read -t 30 answer <&3; echo $answer";
    checks.check("the first use starts it", || {
        ensure!(state(vm, "t-echo")? == "waiting");
        says(vm, echo, "echo 1 hello\n")?;
        ensure!(state(vm, "t-echo")? == "ready");
        Ok(())
    });
    checks.check("no connection is lost over a restart", || {
        // Connects while it does not run, and while it backs off. A dying process may still lose a connection.
        let all = format!(
            "old=$(pgrep -fx '/usr/bin/tare-test-service echo'); kill -KILL $old; while [ -e /proc/$old ]; do :; done; \
             for i in 1 2 3 4 5 6 7 8 9 10; do ( {echo} ) & done; wait"
        );
        let said = vm.ssh_within(&all, secs(40))?;
        ensure!(said == "echo 1 hello\n".repeat(10), "{said:?}");
        wait_runs(vm, "t-echo", 2)
    });
}

fn restarts(vm: &Vm, checks: &mut Checks) {
    checks.check("a limit", || {
        wait_state(vm, "t-limit", "failed")?;
        ensure!(runs(vm, "t-limit")? == 5, "{} starts", runs(vm, "t-limit")?);
        Ok(())
    });
    checks.check("a loop backs off", || {
        let (runs, up) = (runs(vm, "t-loop")?, uptime(vm)?);
        // 0.1 s, 0.2 s ... 25.6 s, then every 30 s, minus up to a quarter at random, and failing takes time.
        let most = 12 + up / 22;
        ensure!(runs >= 5 && runs <= most, "{runs} starts in {up} s");
        Ok(())
    });
}

fn uptime(vm: &Vm) -> Result<u32> {
    let up = vm.ssh("cut -d. -f1 /proc/uptime")?;
    up.trim().parse().context("uptime")
}
