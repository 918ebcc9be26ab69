//! Several checks on one machine.

use std::time::Instant;

use anyhow::{Result, bail};
use tare_qemu::{Lost, evidence};

use crate::suite::note;

/// Runs several checks and keeps every failure, so that none hides the next. Once the machine is lost, the remaining
/// checks are skipped.
#[derive(Debug, Default)]
pub struct Checks {
    failures: Vec<String>,
    skipped: usize,
    lost: bool,
}

impl Checks {
    /// Runs `work` now. [`Checks::verdict`] reports its failure.
    pub fn check(&mut self, what: &str, work: impl FnOnce() -> Result<()>) {
        if self.lost {
            self.skipped += 1;
            return note(&format!("skipped {what}"));
        }
        let started = Instant::now();
        let result = work();
        let took = started.elapsed().as_secs_f64();
        match result {
            Ok(()) => note(&format!("ok      {what} ({took:.1} s)")),
            Err(error) => {
                note(&format!("FAILED  {what} ({took:.1} s)"));
                evidence::collect();
                self.lost = Lost::caused(&error);
                self.failures.push(format!("{what}: {error:#}"));
            }
        }
    }

    /// # Errors
    /// All failures, in order.
    pub fn verdict(self) -> Result<()> {
        let skipped = match self.skipped {
            0 => String::new(),
            skipped => format!("; the machine is lost, {skipped} skipped"),
        };
        match &self.failures[..] {
            [] => Ok(()),
            [only] => bail!("{only}{skipped}"),
            all => bail!(
                "{} checks failed{skipped}\n\n{}",
                all.len(),
                all.join("\n\n")
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::anyhow;

    #[test]
    fn every_failure_is_in_the_verdict() {
        let mut checks = Checks::default();
        checks.check("first", || bail!("a"));
        checks.check("second", || Ok(()));
        checks.check("third", || bail!("c"));
        let error = checks.verdict().unwrap_err();
        assert_eq!(error.to_string(), "2 checks failed\n\nfirst: a\n\nthird: c");
    }

    #[test]
    fn a_lost_machine_is_asked_nothing_more() {
        let mut checks = Checks::default();
        checks.check("first", || Err(Lost::from(anyhow!("gone")).into()));
        checks.check("second", || panic!("it was asked"));
        let error = checks.verdict().unwrap_err();
        assert_eq!(
            error.to_string(),
            "first: gone; the machine is lost, 1 skipped"
        );
    }
}
