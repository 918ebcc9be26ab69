//! A machine that no longer answers.

use std::fmt;

use anyhow::Error;

/// QEMU has exited, the console shows a forbidden line, or sshd does not answer, so every further check would fail.
/// It is among the causes of an error.
#[derive(Debug)]
pub struct Lost(String);

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lost {}

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self(format!("{error:#}"))
    }
}

impl Lost {
    /// Whether `error`, or a cause of it, is that a machine is lost.
    pub fn caused(error: &Error) -> bool {
        error.chain().any(|cause| cause.is::<Self>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context, anyhow};

    #[test]
    fn is_found_below_what_was_said_about_it() {
        let lost = || Lost::from(anyhow!("QEMU has exited"));
        for (error, want) in [
            (anyhow!("late"), false),
            (anyhow!(lost()), true),
            (anyhow!(lost()).context("power off"), true),
        ] {
            assert_eq!(Lost::caused(&error), want, "{error:#}");
        }
        let result: Result<(), _> = Err(lost()).context("power off");
        assert_eq!(
            format!("{:#}", result.unwrap_err()),
            "power off: QEMU has exited"
        );
    }
}
