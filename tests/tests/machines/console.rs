//! A test fails when the guest is in trouble, even if it does not check.

use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result, ensure};
use tare_image::Image;
use tare_qemu::{Vm, secs};
use tare_tests::Scratch;

/// A kernel without a PID 1 panics, and this one reboots at once.
const TROUBLE: &str = "init=/no-such-program panic=-1";

pub(crate) fn trouble_ends_every_wait(image: &Image) -> Result<()> {
    let folder = Scratch::new("trouble")?;
    let vm = in_trouble(image, &folder)?;
    let waited = vm.wait_line("no such line", secs(20));
    let error = waited.err().context("the line came")?.to_string();
    let begin = "no line `no such line`: the console shows `";
    ensure!(error.starts_with(begin), "{error}");
    ensure!(error.contains("Kernel panic"), "{error}");
    drop(vm);
    folder.remove()
}

pub(crate) fn unexpected_trouble_on_the_console_fails_the_test(image: &Image) -> Result<()> {
    let folder = Scratch::new("trouble")?;
    let vm = in_trouble(image, &folder)?;
    vm.qmp().wait_event("SHUTDOWN", vm.scaled(secs(20)))?;
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(vm)));
    let panic = dropped.err().context("nothing was said")?;
    // `panic!` with arguments makes a String.
    let message = panic.downcast_ref::<String>().context("no words")?;
    ensure!(message.starts_with("the console shows `"), "{message}");
    folder.remove()
}

fn in_trouble(image: &Image, folder: &Scratch) -> Result<Vm> {
    let machine = Vm::of(image).direct().append(TROUBLE).exit_on_reboot();
    machine.keep_in(folder.path()).boot()
}
