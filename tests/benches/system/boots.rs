//! The systems, booted in turn.

use std::time::Duration;

use anyhow::{Context, Result};
use tare_qemu::{Machine, Vm, secs};

use crate::answers::{self, Idle};
use crate::figures::Figure;
use crate::guest;
use crate::options::Options;
use crate::results::{FirstBoot, Results};
use crate::systems::{Name, Systems};

/// Timeout on a real CPU; the slowest peer needs a tenth of it.
const PATIENCE: Duration = secs(60);

/// Boots each system once to settle, and then in turn `options.runs` times.
///
/// # Errors
/// A system does not come up, does not go down, or does not answer.
pub(crate) fn measure(systems: &Systems, options: &Options, results: &mut Results) -> Result<()> {
    let mut machines = Vec::new();
    for name in Name::ALL.into_iter().filter(|name| options.wants(*name)) {
        let machine = systems.machine(name)?;
        first_boot(name, &machine, systems, results)
            .with_context(|| format!("first boot of {}", name.label()))?;
        machines.push((name, machine));
    }
    for round in 1..=options.runs {
        for (name, machine) in &machines {
            boot(*name, machine, results)
                .with_context(|| format!("boot {round} of {}", name.label()))?;
        }
    }
    results.runs = options.runs;
    Ok(())
}

/// A disk's first boot creates host keys, file systems and the engine's bridge, so it does not count.
fn first_boot(
    name: Name,
    machine: &Machine,
    systems: &Systems,
    results: &mut Results,
) -> Result<()> {
    let vm = machine.boot()?;
    let times = come_up(name, &vm)?;
    results.first_boots.insert(
        name,
        FirstBoot {
            ssh: times.ssh,
            docker: times.docker,
        },
    );
    guest::import_image(&vm, &systems.busybox)?;
    results.versions.insert(name, vm.ssh(guest::VERSIONS)?);
    power_off(name, &vm)?;
    eprintln!("{:12} first boot: {times}", name.label());
    Ok(())
}

fn boot(name: Name, machine: &Machine, results: &mut Results) -> Result<()> {
    let vm = machine.boot()?;
    let times = come_up(name, &vm)?;
    results.add(name, Figure::Pid1, times.pid1);
    results.add(name, Figure::Ssh, times.ssh);
    results.add(name, Figure::Docker, times.docker);
    // With firmware it is the same system; no need to inspect it again.
    if name != Name::TareUefi {
        look_inside(name, &vm, results)?;
    }
    let off = power_off(name, &vm)?;
    results.add(name, Figure::PowerOff, off);
    eprintln!("{:12} {times}, power off {off:.1} s", name.label());
    Ok(())
}

/// Milestones of a boot, in seconds since QEMU's start.
struct Times {
    pid1: f64,
    ssh: f64,
    docker: f64,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { pid1, ssh, docker } = self;
        write!(f, "PID 1 {pid1:.1} s, ssh {ssh:.1} s, docker {docker:.1} s")
    }
}

fn come_up(name: Name, vm: &Vm) -> Result<Times> {
    let now = || vm.elapsed().as_secs_f64();
    vm.wait_line(name.first_words(), PATIENCE)?;
    let pid1 = now();
    vm.wait_ssh(PATIENCE)?;
    let ssh = now();
    vm.ssh_within(guest::DOCKER_READY, PATIENCE)?;
    let docker = now();
    Ok(Times { pid1, ssh, docker })
}

fn look_inside(name: Name, vm: &Vm, results: &mut Results) -> Result<()> {
    let idle = Idle::parse(&vm.ssh_within(guest::IDLE, PATIENCE)?)?;
    results.add(name, Figure::Memory, idle.memory);
    results.add(name, Figure::Processes, idle.processes);
    for duration in answers::durations(&vm.ssh_within(guest::DOCKER_RUN, PATIENCE)?) {
        results.add(name, Figure::DockerRun, duration);
    }
    let listed = vm.ssh_within(guest::PROCESSES, PATIENCE)?;
    let processes = answers::processes(&listed);
    results.add(
        name,
        Figure::Pss,
        processes.iter().map(|(_, pss)| pss).sum(),
    );
    results.add(name, Figure::Pid1Rss, answers::pid1_rss(&listed)?);
    results.processes.insert(name, processes);
    Ok(())
}

/// Powers the machine off and returns how long that took.
pub(crate) fn power_off(name: Name, vm: &Vm) -> Result<f64> {
    let start = vm.elapsed();
    name.request_power_off(vm)?;
    vm.wait_exit(PATIENCE)?;
    Ok((vm.elapsed() - start).as_secs_f64())
}
