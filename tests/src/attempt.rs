//! Running a test that needs machines.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;
use tare_image::Image;

use crate::image::{image, say};
use crate::slot::Slot;

/// Where each processor has a thread, QEMU's emulation loses a guest about once in a hundred boots: while one
/// processor patches the kernel's code, the other executes the breakpoint that stands there meanwhile and is
/// not told of it. The kernel's first words about it on the console are these, and no fault of ours looks so.
/// With one thread for all, as test machines have it, none was lost so far.
const LOST_TO_EMULATION: &str = "Oops: int3";

/// How many machines of this program were lost so.
static LOST: AtomicU32 = AtomicU32::new(0);

/// Runs `test` on the image of this checkout when one of the machine slots is free; it may run one machine
/// at a time.
///
/// A run that QEMU's emulation lost is repeated once, counted and reported; nothing else is.
///
/// # Errors
/// The test's own, or the image cannot be made.
pub fn on_machines(test: impl Fn(&Image) -> Result<()>) -> Result<()> {
    on_machines_of(image()?, test)
}

/// As [`on_machines`], on another image.
///
/// # Errors
/// The test's own.
pub fn on_machines_of(image: &Image, test: impl Fn(&Image) -> Result<()>) -> Result<()> {
    let _slot = Slot::take()?;
    twice_if_lost(|| test(image), report)
}

/// Counts a lost machine and tells of it.
fn report() -> Result<()> {
    let lost = LOST.fetch_add(1, Ordering::Relaxed) + 1;
    let of = "machine(s) of this program lost to QEMU's emulation";
    Ok(say(&format!(
        "{lost} {of} ({LOST_TO_EMULATION}); once more"
    ))?)
}

fn twice_if_lost(test: impl Fn() -> Result<()>, report: impl FnOnce() -> Result<()>) -> Result<()> {
    let first = catch_unwind(AssertUnwindSafe(&test));
    if !is_lost(&first) {
        return first.unwrap_or_else(|panic| resume_unwind(panic));
    }
    report()?;
    test()
}

fn is_lost(outcome: &Result<Result<()>, Box<dyn Any + Send>>) -> bool {
    match outcome {
        Ok(Ok(())) => false,
        Ok(Err(error)) => format!("{error:#}").contains(LOST_TO_EMULATION),
        Err(panic) => message(panic.as_ref()).contains(LOST_TO_EMULATION),
    }
}

/// What a panic says: `panic!` makes a `String`, or a `&str` if there is nothing to format.
fn message(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{anyhow, bail};
    use std::cell::Cell;

    const OOPS: &str = "the console shows `[    1.5] Oops: int3: 0000 [#1] SMP`";

    /// The outcome of a test whose runs end in `ends` one after the other, and how many there were.
    fn outcome(ends: &[Option<&str>]) -> (Result<(), String>, usize) {
        let runs = Cell::new(0);
        let run = || {
            let end = ends[runs.replace(runs.get() + 1)];
            end.map_or(Ok(()), |error| bail!(error.to_owned()))
        };
        let result = twice_if_lost(run, || Ok(()));
        (result.map_err(|error| error.to_string()), runs.get())
    }

    #[test]
    fn only_what_emulation_lost_is_repeated_and_only_once() {
        let other = "the console shows `[    1.5] Oops: 0000 [#1] SMP`";
        for (ends, want) in [
            (&[None][..], (Ok(()), 1)),
            (&[Some(OOPS), None], (Ok(()), 2)),
            (&[Some(OOPS), Some(OOPS)], (Err(OOPS.to_owned()), 2)),
            (&[Some(other)], (Err(other.to_owned()), 1)),
        ] {
            assert_eq!(outcome(ends), want, "{ends:?}");
        }
    }

    #[test]
    fn a_dropped_machine_panics_and_is_known_as_lost_too() {
        for (panic, want) in [
            (Box::new(OOPS.to_owned()) as Box<dyn Any + Send>, true),
            (Box::new("assertion failed"), false),
        ] {
            assert_eq!(is_lost(&Err(panic)), want);
        }
        assert!(!is_lost(&Ok(Err(anyhow!("no ssh banner in time")))));
    }
}
