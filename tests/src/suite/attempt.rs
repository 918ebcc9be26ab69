//! One run of a test, and its retry.

use std::any::Any;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use tare_qemu::{evidence, limit_waits, target, unlimit_waits};

use super::{Test, notes};
use crate::slot::in_a_slot;

/// How a run failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The error.
    pub why: String,
    /// The test's notes, and the console and answers of its machine.
    pub log: String,
    /// Where the log is kept.
    pub kept: Option<PathBuf>,
}

/// Calls `run` at most `times` times, numbered from 1, until it succeeds. Returns the failures.
pub(super) fn until_it_passes(
    times: usize,
    run: impl Fn(usize) -> Result<(), Failure>,
) -> Vec<Failure> {
    let runs = (1..=times).map(run);
    runs.map_while(Result::err).collect()
}

/// Runs the test with machines of its own. Also returns how long it took once it had a slot.
pub(super) fn once(test: &Test, number: usize) -> (Result<(), Failure>, Duration) {
    let run = || {
        notes::begin();
        let began = Instant::now();
        limit_waits(test.limit());
        let result = outcome(test);
        unlimit_waits();
        (result, notes::end(), evidence::take(), began.elapsed())
    };
    let (result, notes, evidence, took) = in_a_slot(run);
    let Err(error) = result else {
        // The notes say how long each check took.
        let _ = write(test.name, number, &notes);
        return (Ok(()), took);
    };
    let late = match took > test.limit() {
        true => format!("not done in {} s: ", test.limit().as_secs()),
        false => String::new(),
    };
    let (why, log) = (format!("{late}{error:#}"), format!("{notes}{evidence}"));
    (Err(keep(test.name, number, why, log)), took)
}

fn outcome(test: &Test) -> Result<()> {
    let image = (test.image)()?;
    let ended = catch_unwind(AssertUnwindSafe(|| (test.run)(image)));
    ended.unwrap_or_else(|panic| Err(anyhow!("{}", message(panic.as_ref()))))
}

/// The message of a panic: `panic!` makes a `String`, or a `&str` if there is nothing to format.
fn message(panic: &(dyn Any + Send)) -> &str {
    let formatted = panic.downcast_ref::<String>().map(String::as_str);
    formatted
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a panic without words")
}

fn keep(name: &str, number: usize, why: String, log: String) -> Failure {
    let kept = write(name, number, &format!("{why}\n\n{log}"));
    Failure {
        why,
        log,
        kept: kept.ok(),
    }
}

fn write(name: &str, number: usize, text: &str) -> Result<PathBuf> {
    let folder = target().join("log/tests");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}-{number}.log", name.replace("::", "-")));
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(why: &str) -> Failure {
        Failure {
            why: why.to_owned(),
            log: String::new(),
            kept: None,
        }
    }

    #[test]
    fn there_is_a_second_chance_and_no_third() {
        for (ends, want) in [
            (&[None][..], &[][..]),
            (&[Some("a"), None], &["a"]),
            (&[Some("a"), Some("b")], &["a", "b"]),
        ] {
            let run = |number: usize| ends[number - 1].map_or(Ok(()), |why| Err(failure(why)));
            let failures = until_it_passes(2, run);
            let whys: Vec<&str> = failures.iter().map(|failure| &*failure.why).collect();
            assert_eq!(whys, want);
        }
    }

    #[test]
    fn a_panic_is_a_failure_with_its_words() {
        let test = |run| Test {
            name: "attempt::unit",
            seconds: 1,
            ignored: false,
            image: || Err(anyhow!("no image")),
            run,
        };
        let error = outcome(&test(|_| Ok(()))).unwrap_err();
        assert_eq!(error.to_string(), "no image");
        for (panic, want) in [
            (
                Box::new("formatted".to_owned()) as Box<dyn Any + Send>,
                "formatted",
            ),
            (Box::new("plain"), "plain"),
            (Box::new(1), "a panic without words"),
        ] {
            assert_eq!(message(panic.as_ref()), want);
        }
    }
}
