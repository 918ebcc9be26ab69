//! What PID 1 must survive: invalid programs, a lack of every resource, and floods of events.

mod alive;
mod flood;
pub(crate) mod lack;
pub(crate) mod loops;
pub(crate) mod many;
pub(crate) mod panic;
mod programs;
mod restarts;
mod time;

use alive::{memory, require_alive};
use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::{Builder, Vm};
use tare_tests::guest::{power_off, require_no_orphans, says};
use tare_tests::{Checks, QUIET, disk};

type Trouble = fn(&Vm) -> Result<()>;

/// What is done to the machine, in this order; after each, PID 1 is as before.
const TROUBLES: [(&str, Trouble); 15] = [
    ("a console without a reader", flood::unread_console),
    ("10000 zombies", flood::zombies),
    ("100000 SIGCHLD", flood::sigchld),
    ("every other signal", flood::signals),
    ("out of descriptors", lack::descriptors),
    ("out of process ids", lack::process_ids),
    ("out of room in /run", lack::room),
    ("no log", lack::log),
    ("out of memory", lack::memory),
    ("a disk that takes no writes", lack::writes),
    ("clock set back ten years", time::back),
    ("clock set forward thirty years", time::forward),
    ("400 restarts", restarts::hundreds),
    ("everything killed", flood::kill_all),
    ("state disk read-only", lack::writable_disk),
];

pub(crate) fn pid_1_endures_what_others_do(image: &Image) -> Result<()> {
    // The kernel reports the process that it killed, and where.
    let tolerated = ["Out of memory", "Call Trace"];
    let vm = boot(image, programs::BROKEN, &tolerated)?;
    let mut checks = Checks::default();
    programs::check(&vm, &mut checks);
    let before = memory(&vm)?;
    for (what, trouble) in TROUBLES {
        checks.check(what, || trouble(&vm).and_then(|()| require_alive(&vm)));
    }
    checks.check("PID 1 has not grown", || {
        let now = memory(&vm)?;
        ensure!(now < before + 1024, "{before} KiB and then {now} KiB");
        Ok(())
    });
    checks.check("no orphan", || require_no_orphans(&vm));
    checks.check("power off", || power_off(&vm));
    checks.check("clean file system", || {
        disk::require_clean_state(vm.machine())
    });
    checks.verdict()
}

/// A machine for stress tests.
fn boot(image: &Image, user_data: &str, tolerated: &[&str]) -> Result<Vm> {
    let machine = Vm::of(image)
        .direct()
        .user_data(&format!("{QUIET}{user_data}"))
        .exit_on_reboot();
    let tolerate = |machine: Builder, pattern: &&str| machine.tolerate(pattern);
    let vm = tolerated.iter().fold(machine, tolerate).boot()?;
    vm.wait_ready()?;
    says(&vm, "tare service start t-fault", "t-fault is ready\n")?;
    Ok(vm)
}
