//! A fault of PID 1 itself.

use super::{alive::trouble, boot};
use anyhow::{Result, ensure};
use tare_image::Image;
use tare_qemu::secs;

/// What the event loop says about a system call that fails in an impossible way; see `tests/service/src/fault.rs`.
const PANIC: &str = "tare: PID 1 panicked: panicked at";

pub(crate) fn that_the_kernel_finds_reboots_the_machine(image: &Image) -> Result<()> {
    let vm = boot(
        image,
        "",
        &["segfault", "Kernel panic", "Call Trace", "I/O error"],
    )?;
    let _ = trouble(&vm, "crash");
    vm.wait_line("Attempted to kill init! exitcode=0x0000000b", secs(30))?;
    let exit = vm.wait_exit(secs(30))?;
    ensure!(exit.reason.as_deref() == Some("guest-reset"), "{exit:?}");
    Ok(())
}

pub(crate) fn is_logged_and_reboots_the_machine(image: &Image) -> Result<()> {
    // What its disk was asked for when the kernel restarts the machine fails.
    let vm = boot(image, "", &["panicked at", "I/O error"])?;
    // PID 1 may be gone before it can answer.
    let _ = trouble(&vm, "panic");
    vm.wait_line(PANIC, secs(30))?;
    let exit = vm.wait_exit(secs(30))?;
    ensure!(exit.reason.as_deref() == Some("guest-reset"), "{exit:?}");
    Ok(())
}
