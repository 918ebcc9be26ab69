//! The results of all tests.

use std::fmt;
use std::time::Duration;

use anyhow::Error;

use super::attempt::Failure;

/// Tests that pass only at the second try are flaky. With more of them than this, the run fails.
const FLAKY: usize = 2;
/// How many of the slowest tests are named.
const SLOWEST: usize = 10;
/// A test fails after this many failed tries.
const TRIES: usize = 2;

/// How one test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The test's name.
    pub name: String,
    /// All tries together, without waiting for a slot.
    pub took: Duration,
    /// One per failed try.
    pub failures: Vec<Failure>,
}

impl Outcome {
    /// No test could run.
    pub(super) fn without_image(error: &Error) -> Self {
        let failure = Failure {
            why: format!("{error:#}"),
            log: String::new(),
            kept: None,
        };
        Self {
            name: "the image".to_owned(),
            took: Duration::ZERO,
            failures: vec![failure; TRIES],
        }
    }

    fn has_failed(&self) -> bool {
        self.failures.len() == TRIES
    }

    fn is_flaky(&self) -> bool {
        !self.failures.is_empty() && !self.has_failed()
    }
}

/// A line as cargo's test programs write it with `--report-time`.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, how) = match self.failures.len() {
            0 => ("ok", ""),
            TRIES => ("FAILED", ""),
            _ => ("ok", " at the second try"),
        };
        let (name, seconds) = (&self.name, self.took.as_secs_f64());
        write!(f, "test {name} ... {verdict} <{seconds:.1}s>{how}")
    }
}

/// How all tests ended.
#[derive(Debug)]
pub struct Report {
    /// Of the tests that ran.
    pub outcomes: Vec<Outcome>,
    /// Tests that only run on request.
    pub ignored: usize,
    /// Tests that the command line does not select.
    pub filtered: usize,
    /// Number of boots.
    pub machines: u32,
    /// The whole run.
    pub took: Duration,
}

impl Report {
    fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.has_failed())
    }

    fn flaky(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.is_flaky())
    }

    /// No test failed, and few needed the second try.
    pub fn is_good(&self) -> bool {
        self.failed().next().is_none() && self.flaky().count() <= FLAKY
    }

    fn write_failures(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let troubled = self.failed().chain(self.flaky());
        for outcome in troubled {
            for (failure, number) in outcome.failures.iter().zip(1..) {
                writeln!(f, "\n---- {}, try {number} ----", outcome.name)?;
                writeln!(f, "{}\n\n{}", failure.why, failure.log)?;
                if let Some(path) = &failure.kept {
                    writeln!(f, "(kept in {})", path.display())?;
                }
            }
        }
        Ok(())
    }

    fn write_slowest(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut by_time: Vec<&Outcome> = self.outcomes.iter().collect();
        by_time.sort_by_key(|outcome| std::cmp::Reverse(outcome.took));
        for outcome in by_time.iter().take(SLOWEST) {
            writeln!(f, "{:>6} s  {}", outcome.took.as_secs(), outcome.name)?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_failures(f)?;
        writeln!(
            f,
            "\nmachines booted: {}; the slowest tests:",
            self.machines
        )?;
        self.write_slowest(f)?;
        for outcome in self.flaky() {
            let first = outcome.failures.first().map(|failure| &*failure.why);
            let line = first.and_then(|why| why.lines().next()).unwrap_or_default();
            writeln!(f, "flaky: {} (first failure: {line})", outcome.name)?;
        }
        let flaky = self.flaky().count();
        if flaky > FLAKY {
            writeln!(
                f,
                "{flaky} flaky tests, and {FLAKY} are allowed: this run fails"
            )?;
        }
        for outcome in self.failed() {
            writeln!(f, "failed: {}", outcome.name)?;
        }
        let failed = self.failed().count();
        writeln!(
            f,
            "\ntest result: {}. {} passed; {failed} failed; {} ignored; 0 measured; {} filtered out; finished in {:.2}s",
            if self.is_good() { "ok" } else { "FAILED" },
            self.outcomes.len() - failed,
            self.ignored,
            self.filtered,
            self.took.as_secs_f64()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, seconds: u64, failures: &[&str]) -> Outcome {
        let failure = |why: &&str| Failure {
            why: (*why).to_owned(),
            log: "console\n".to_owned(),
            kept: None,
        };
        Outcome {
            name: name.to_owned(),
            took: Duration::from_secs(seconds),
            failures: failures.iter().map(failure).collect(),
        }
    }

    fn report(outcomes: Vec<Outcome>) -> Report {
        Report {
            outcomes,
            ignored: 3,
            filtered: 0,
            machines: 4,
            took: Duration::from_secs(60),
        }
    }

    #[test]
    fn few_may_need_their_second_chance_and_none_may_fail() {
        let flaky = || outcome("a", 1, &["late"]);
        for (outcomes, want) in [
            (vec![outcome("a", 1, &[])], true),
            (vec![flaky(), flaky()], true),
            (vec![flaky(), flaky(), flaky()], false),
            (vec![outcome("a", 1, &["late", "late"])], false),
        ] {
            assert_eq!(report(outcomes).is_good(), want);
        }
    }

    #[test]
    fn a_report_says_what_failed_and_what_is_flaky() {
        let text = report(vec![
            outcome("a", 1, &[]),
            outcome("b", 9, &["late\nmore"]),
            outcome("c", 5, &["x", "y"]),
        ])
        .to_string();
        let want = "
---- c, try 1 ----
x

console


---- c, try 2 ----
y

console


---- b, try 1 ----
late
more

console


machines booted: 4; the slowest tests:
     9 s  b
     5 s  c
     1 s  a
flaky: b (first failure: late)
failed: c

test result: FAILED. 2 passed; 1 failed; 3 ignored; 0 measured; 0 filtered out; finished in 60.00s
";
        assert_eq!(text, want);
    }
}
