//! Several questions to one machine.

use std::time::Instant;

use anyhow::{Result, bail};

/// Asks several questions and keeps every bad answer, so that none hides the next.
#[derive(Debug, Default)]
pub struct Checks {
    failures: Vec<String>,
}

impl Checks {
    /// Does `work` now; its failure is reported by [`Checks::verdict`].
    pub fn check(&mut self, what: &str, work: impl FnOnce() -> Result<()>) {
        let started = Instant::now();
        let result = work();
        let took = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => println!("ok      {what} ({took:.1} s)"),
            Err(error) => {
                println!("FAILED  {what} ({took:.1} s)");
                self.failures.push(format!("{what}: {error:#}"));
            }
        }
    }

    /// # Errors
    /// All failures, the first one first.
    pub fn verdict(self) -> Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        bail!(
            "{} checks failed\n\n{}",
            self.failures.len(),
            self.failures.join("\n\n")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_is_in_the_verdict() {
        let mut checks = Checks::default();
        checks.check("first", || bail!("a"));
        checks.check("second", || Ok(()));
        checks.check("third", || bail!("c"));
        let error = checks.verdict().unwrap_err();
        assert_eq!(error.to_string(), "2 checks failed\n\nfirst: a\n\nthird: c");
    }
}
