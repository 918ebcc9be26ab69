//! A fault of PID 1 itself.

use crate::{alive::trouble, boot};
use anyhow::{Result, ensure};
use tare_qemu::secs;
use tare_tests::{image_with_test_services, on_machines_of};

/// What the event loop says to a system call that fails as none does; see `tests/service/src/fault.rs`.
const PANIC: &str = "tare: PID 1 panicked: panicked at";

#[test]
fn that_the_kernel_finds_reboots_the_machine() -> Result<()> {
    on_machines_of(image_with_test_services()?, |image| {
        let vm = boot(image, "", &["segfault", "Kernel panic", "Call Trace"])?;
        let _ = trouble(&vm, "crash");
        vm.wait_line("Attempted to kill init! exitcode=0x0000000b", secs(30))?;
        let exit = vm.wait_exit(secs(30))?;
        ensure!(exit.reason.as_deref() == Some("guest-reset"), "{exit:?}");
        Ok(())
    })
}

#[test]
fn is_logged_and_reboots_the_machine() -> Result<()> {
    on_machines_of(image_with_test_services()?, |image| {
        let vm = boot(image, "", &["panicked at"])?;
        // There may be nobody left to answer.
        let _ = trouble(&vm, "panic");
        vm.wait_line(PANIC, secs(30))?;
        let exit = vm.wait_exit(secs(30))?;
        ensure!(exit.reason.as_deref() == Some("guest-reset"), "{exit:?}");
        Ok(())
    })
}
