//! How long starting a container takes, measured inside the floor, which has the same kernel as Tare.

use std::env;
use std::fs::File;

use anyhow::{Context, Result, ensure};
use tare_qemu::secs;

use crate::boots::power_off;
use crate::floor::BUNDLE;
use crate::guest::send;
use crate::launcher::Means;
use crate::results::{Results, Starts};
use crate::systems::{Name, Systems};

/// Counted starts by each means.
const RUNS: usize = 20;
/// Path of this program in the guest.
const PROGRAM: &str = "/run/bench";

/// Boots the floor once more and starts a container in it by every means.
///
/// # Errors
/// The floor does not come up, or a container does not start.
pub(crate) fn measure(systems: &Systems, results: &mut Results) -> Result<()> {
    let vm = systems.machine(Name::Floor)?.boot()?;
    vm.wait_ssh(secs(60))?;
    vm.ssh_within(crate::guest::IDLE, secs(150))?;
    let own = env::current_exe().context("find this program")?;
    send(
        &vm,
        &format!("cat > {PROGRAM} && chmod 755 {PROGRAM}"),
        File::open(own)?,
    )?;
    let starts = vm.ssh_within(
        &format!("{PROGRAM} --launch {BUNDLE} --runs {RUNS}"),
        secs(120),
    )?;
    for means in Means::ALL {
        let starts = starts_by(means, &starts)?;
        results.containers.insert(means, starts);
    }
    power_off(Name::Floor, &vm)?;
    Ok(())
}

/// The launcher's output for one means.
fn starts_by(means: Means, text: &str) -> Result<Starts> {
    let prefix = format!("{}: ", means.label());
    let mut starts = Starts::default();
    for line in text.lines().filter_map(|line| line.strip_prefix(&prefix)) {
        let mut numbers = line.split_whitespace().map(str::parse::<f64>);
        starts.whole.extend(numbers.next().transpose()?);
        starts.until_exec.extend(numbers.next().transpose()?);
    }
    let count = starts.whole.len();
    ensure!(count == RUNS, "{count} starts by {}: {text}", means.label());
    Ok(starts)
}
