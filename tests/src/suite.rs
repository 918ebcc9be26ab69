//! Runs all tests that need machines, in one program: two at a time, the longest first, each with a second try that
//! is reported.

mod arguments;
mod attempt;
mod notes;
mod report;

use std::cell::Cell;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use tare_image::Image;

pub use arguments::Arguments;
pub use attempt::Failure;
pub use notes::note;
pub use report::{Outcome, Report};

use crate::slot::{SLOTS, alone};

/// Sleeping tests leave their slots to others ([`crate::asleep`]), so this many more may be running.
const ASLEEP: usize = 2;
/// A test's time limit, as a multiple of the time it takes on an otherwise idle machine,
const PATIENCE: u32 = 8;
/// and at least this.
const LEAST: Duration = Duration::from_secs(300);

/// A test that needs machines.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// `MODULE::FUNCTION`.
    pub name: &'static str,
    /// About how long it takes, in seconds. The longest start first, and a test that takes much longer is stopped.
    pub seconds: u32,
    /// Only runs on request.
    pub ignored: bool,
    /// The image that it runs on.
    pub image: fn() -> Result<&'static Image>,
    /// The test.
    pub run: fn(&Image) -> Result<()>,
}

impl Test {
    /// Real time, from its start.
    fn limit(&self) -> Duration {
        LEAST.max(Duration::from_secs(u64::from(self.seconds * PATIENCE)))
    }
}

/// Runs those of `tests` that the command line selects. A test's output is shown if it fails.
pub fn main(tests: &[Test]) -> ExitCode {
    let arguments = Arguments::read();
    if arguments.list {
        for test in tests.iter().filter(|test| arguments.names(test)) {
            println!("{}: test", test.name);
        }
        return ExitCode::SUCCESS;
    }
    notes::capture_panics();
    let report = run(tests, &arguments);
    print!("{report}");
    match report.is_good() {
        true => ExitCode::SUCCESS,
        // The exit status of cargo's own test programs.
        false => ExitCode::from(101),
    }
}

fn run(tests: &[Test], arguments: &Arguments) -> Report {
    let started = Instant::now();
    let named = |test: &&Test| arguments.names(test);
    let (mut chosen, ignored): (Vec<&Test>, Vec<&Test>) = tests
        .iter()
        .filter(named)
        .partition(|test| arguments.runs(test));
    chosen.sort_by_key(|test| std::cmp::Reverse(test.seconds));
    println!("\nrunning {} tests", chosen.len());
    let ready = make_images(&chosen).and_then(|()| alone());
    let outcomes = match ready {
        Ok(_alone) => run_all(&chosen),
        Err(error) => vec![Outcome::without_image(&error)],
    };
    Report {
        filtered: tests.len() - chosen.len() - ignored.len(),
        ignored: ignored.len(),
        machines: tare_qemu::Vm::started(),
        took: started.elapsed(),
        outcomes,
    }
}

/// Runs before the first test, because building uses both processors.
fn make_images(tests: &[&Test]) -> Result<()> {
    tests.iter().try_for_each(|test| (test.image)().map(drop))
}

fn run_all(tests: &[&Test]) -> Vec<Outcome> {
    let queue: Mutex<VecDeque<&Test>> = Mutex::new(tests.iter().copied().collect());
    let next = || {
        let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.pop_front()
    };
    let work = || {
        let mut outcomes = Vec::new();
        while let Some(test) = next() {
            let outcome = with_second_chance(test);
            println!("{outcome}");
            outcomes.push(outcome);
        }
        outcomes
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..SLOTS + ASLEEP).map(|_| scope.spawn(work)).collect();
        let joined = workers.into_iter().map(|worker| worker.join());
        joined.flat_map(Result::unwrap_or_default).collect()
    })
}

fn with_second_chance(test: &Test) -> Outcome {
    let both = Cell::new(Duration::ZERO);
    let failures = attempt::until_it_passes(2, |number| {
        let (result, took) = attempt::once(test, number);
        both.set(both.get() + took);
        result
    });
    Outcome {
        name: test.name.to_owned(),
        took: both.get(),
        failures,
    }
}
