//! `cargo boot --check`: tries automatically what a user would try first.

use std::fmt;
use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use tare_qemu::{Base, Vm, secs, target};

use crate::options::{Options, key, typed};

/// From the first `docker run` to its output; the engine has just started.
const DOCKER: Duration = secs(60);
/// From PID 1's "ready" to the demo app's page.
const DEMO: Duration = secs(60);
/// From the power button to QEMU's exit.
const POWER_OFF: Duration = secs(30);

/// Boots a fresh machine on free ports, uses it, powers it off and prints how long each step took.
///
/// # Errors
/// The first step that fails, with the console's tail; the machine's files are kept for inspection.
pub(crate) fn run(options: &Options, base: Base, build: Duration) -> Result<()> {
    let folder = target().join(format!("check-{}", std::process::id()));
    let kept = || format!("the machine's files are in {}", typed(&folder));
    let builder = options
        .builder(base, &key()?)?
        .keep_in(&folder)
        .forward(22)
        .forward(80);
    let mut timings = Timings(vec![("build", build)]);
    let started = Instant::now();
    let vm = builder.boot().with_context(kept)?;
    use_machine(&vm, &mut timings)
        .with_context(|| format!("{timings} and then failed; {}", kept()))?;
    drop(vm);
    println!(
        "check passed: {timings}; {:.1} s from start to off",
        started.elapsed().as_secs_f64()
    );
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))
}

fn use_machine(vm: &Vm, timings: &mut Timings) -> Result<()> {
    timings.step("ready", || vm.wait_ready())?;
    timings.step("ssh", || vm.wait_ssh(secs(10)))?;
    timings.step("docker run", || run_container(vm))?;
    timings.step("demo page", || fetch_demo(vm))?;
    timings.step("power off", || power_off(vm))
}

fn run_container(vm: &Vm) -> Result<()> {
    let output = vm.ssh_within("docker run --rm tare/demo echo hello", DOCKER)?;
    ensure!(
        output == "hello\n",
        "the container said {output:?}, not hello"
    );
    Ok(())
}

fn fetch_demo(vm: &Vm) -> Result<()> {
    let page = vm.wait_http(80, "/", DEMO)?;
    ensure!(page.contains("Tare"), "the demo page is not ours: {page}");
    Ok(())
}

fn power_off(vm: &Vm) -> Result<()> {
    vm.power_button()?;
    let exit = vm.wait_exit(POWER_OFF)?;
    ensure!(
        exit.reason.as_deref() == Some("guest-shutdown"),
        "the guest did not power off: {exit:?}"
    );
    Ok(())
}

/// How long each step took, in order.
struct Timings(Vec<(&'static str, Duration)>);

impl Timings {
    fn step<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<()> {
        let started = Instant::now();
        work().context(name)?;
        self.0.push((name, started.elapsed()));
        Ok(())
    }
}

/// "build 0.4 s, ready 11.2 s"
impl fmt::Display for Timings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, took)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{name} {:.1} s", took.as_secs_f64())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timings_are_one_line() {
        let timings = Timings(vec![
            ("build", Duration::from_millis(400)),
            ("ready", secs(11)),
        ]);
        assert_eq!(timings.to_string(), "build 0.4 s, ready 11.0 s");
    }

    #[test]
    fn a_failed_step_is_named_and_not_counted() {
        let mut timings = Timings(Vec::new());
        let error = timings
            .step("ssh", || -> Result<()> { anyhow::bail!("no banner") })
            .unwrap_err();
        assert_eq!(format!("{error:#}"), "ssh: no banner");
        assert_eq!(timings.to_string(), "");
    }
}
