//! All tests that need machines, in one program: two at a time, the longest first, and each with a second chance that is told
//! of.

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

/// Tests that sleep leave their slot to others ([`crate::asleep`]): so many more may be under way.
const ASLEEP: usize = 2;
/// A test has this many times as long as it takes on a machine with nothing else to do,
const PATIENCE: u32 = 8;
/// and not less than this.
const LEAST: Duration = Duration::from_secs(300);

/// A test that needs machines.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// `MODULE::FUNCTION`.
    pub name: &'static str,
    /// About how long it takes, in seconds: the longest begin first, and a test that takes much longer is ended.
    pub seconds: u32,
    /// Only run when it is asked for.
    pub ignored: bool,
    /// The image that it runs on.
    pub image: fn() -> Result<&'static Image>,
    /// The test.
    pub run: fn(&Image) -> Result<()>,
}

impl Test {
    /// From its begin on, real time.
    fn limit(&self) -> Duration {
        LEAST.max(Duration::from_secs(u64::from(self.seconds * PATIENCE)))
    }
}

/// Runs those of `tests` that the command line names. What a test says is shown if it fails.
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
        // That of a test program of cargo's.
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

/// Before the first test: both processors are busy with it.
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
