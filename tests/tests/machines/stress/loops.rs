//! Services that fail for ever.

use super::alive::require_alive;
use anyhow::{Context, Result, ensure};
use std::time::Duration;
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::guest::{self, power_off};
use tare_tests::{Checks, LOOPS, QUIET, asleep, enable_loops, note};

/// After this many starts the backoff is 12.8 s, less a quarter at most.
const STARTS: u64 = 8;
/// How long their cost is measured.
const LOOK: Duration = secs(60);
/// The limit of a start's cost, in forks of a shell.
const FORKS: f64 = 15.0;

pub(crate) fn cost_next_to_nothing(image: &Image) -> Result<()> {
    let vm = Vm::of(image)
        .direct()
        .user_data(&format!("{QUIET}{}", enable_loops()))
        .boot()?;
    vm.wait_ready()?;
    let mut checks = Checks::default();
    checks.check("the others are started and answer", || require_alive(&vm));
    checks.check("they are started seldom, and cost little", || loops(&vm));
    checks.check("the others go on", || require_alive(&vm));
    checks.check("power off", || power_off(&vm));
    checks.verdict()
}

/// How often each service that fails was started.
fn starts(vm: &Vm) -> Result<Vec<u64>> {
    let all = guest::starts(vm)?.into_iter();
    let loops = all.filter(|(name, _)| name.starts_with("loop-"));
    let starts: Vec<u64> = loops.map(|(_, starts)| starts).collect();
    ensure!(starts.len() == LOOPS, "there are {} services", starts.len());
    Ok(starts)
}

/// Counts at a moment.
struct Moment {
    /// By the machine's own clock, since its boot.
    uptime: f64,
    /// Of all services that fail.
    starts: f64,
    /// Processor time in seconds of PID 1 and of all processes it has reaped, which includes the services'.
    taken: f64,
}

impl Moment {
    fn now(vm: &Vm) -> Result<Self> {
        const READ: &str =
            "cut -d ' ' -f 1 /proc/uptime; awk '{ print $14 + $15 + $16 + $17 }' /proc/1/stat";
        let starts: u64 = starts(vm)?.iter().sum();
        let said = vm.ssh(READ)?;
        let (uptime, hundredths) = said.trim().split_once('\n').context("one number")?;
        Ok(Self {
            uptime: uptime.parse()?,
            starts: starts as f64,
            taken: hundredths.parse::<f64>()? / 100.0,
        })
    }
}

/// Each is started at most once in 9.6 s, the minimum of a random 12.8 s delay, and a start costs at most [`FORKS`]
/// forks of the shell. On a processor that forks in a millisecond, all of them use less than 5 % of it.
fn loops(vm: &Vm) -> Result<()> {
    while starts(vm)?.iter().any(|starts| *starts < STARTS) {
        ensure!(
            vm.elapsed() < vm.scaled(secs(120)),
            "they are hardly started"
        );
        std::thread::sleep(secs(2));
    }
    let before = Moment::now(vm)?;
    asleep(|| std::thread::sleep(LOOK));
    let after = Moment::now(vm)?;
    let (seconds, starts) = (after.uptime - before.uptime, after.starts - before.starts);
    let each = (after.taken - before.taken) / starts;
    let forks = each / fork(vm)?;
    note(&format!(
        "{starts} starts in {seconds:.0} s, of {each:.3} s each: {forks:.1} forks"
    ));
    let most = LOOPS as f64 * (seconds / 9.6 + 1.0);
    ensure!(starts <= most, "{starts} starts in {seconds} s");
    ensure!(forks <= FORKS, "a start costs as much as {forks:.1} forks");
    Ok(())
}

/// Processor time of a process that the shell starts and that does nothing, in seconds.
fn fork(vm: &Vm) -> Result<f64> {
    const TIMES: u32 = 100;
    let command = format!(
        "TIMEFORMAT='%U %S'; {{ time for ((i = 0; i < {TIMES}; i++)); do /usr/bin/true; done; }} 2>&1"
    );
    let said = vm.ssh_within(&command, secs(60))?;
    let (user, system) = said.trim().split_once(' ').context("one number")?;
    Ok((user.parse::<f64>()? + system.parse::<f64>()?) / f64::from(TIMES))
}
