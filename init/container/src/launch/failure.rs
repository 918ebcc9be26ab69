//! What the child reports to the parent when it cannot continue.

use super::LaunchError;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::AsFd;

/// `PIPE_BUF`: the longest write to a pipe that is atomic.
pub(super) const MAX_REPORT: usize = 4096;

/// A step that failed: operation and operand, as in "chdir /var", and the cause.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    step: String,
    source: Errno,
}

impl Failure {
    pub(super) fn new(step: String, source: Errno) -> Self {
        Self { step, source }
    }

    /// The errno in the machine's byte order, then the step.
    fn encode(&self) -> Vec<u8> {
        let mut report = (self.source as i32).to_ne_bytes().to_vec();
        report.extend(self.step.bytes().take(MAX_REPORT - 4));
        report
    }

    pub(super) fn send(&self, pipe: impl AsFd) {
        // The parent or its pipe may be gone; the failure cannot be reported anywhere else.
        let _ = nix::unistd::write(pipe, &self.encode());
    }
}

/// The error in the child's report.
pub(super) fn decode(report: &[u8]) -> LaunchError {
    let Some((errno, step)) = report.split_first_chunk() else {
        let source = Errno::EPROTO;
        return LaunchError::Report { source };
    };
    LaunchError::Step {
        step: String::from_utf8_lossy(step).into_owned(),
        source: Errno::from_raw(i32::from_ne_bytes(*errno)),
    }
}

/// Adds the failed step to a result. Its text is made only on failure.
pub(super) trait Step<T> {
    fn step(self, operation: &str) -> Result<T, Failure>;
    fn step_on(self, operation: &str, operand: &CStr) -> Result<T, Failure>;
}

impl<T> Step<T> for nix::Result<T> {
    fn step(self, operation: &str) -> Result<T, Failure> {
        self.map_err(|source| Failure::new(operation.to_owned(), source))
    }

    fn step_on(self, operation: &str, operand: &CStr) -> Result<T, Failure> {
        self.map_err(|source| {
            let step = format!("{operation} {}", operand.to_string_lossy());
            Failure::new(step, source)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_operation_operand_and_cause() {
        let failure = Failure::new("mount tmpfs on /run".to_owned(), Errno::EINVAL);
        let error = decode(&failure.encode());
        assert_eq!(
            error.to_string(),
            "mount tmpfs on /run: EINVAL: Invalid argument"
        );
    }

    #[test]
    fn a_report_fits_the_pipe_and_a_cut_one_is_no_report() {
        let failure = Failure::new("x".repeat(5000), Errno::EINVAL);
        assert_eq!(failure.encode().len(), MAX_REPORT);
        let error = decode(b"ab");
        assert_eq!(
            error.to_string(),
            "read the report of the child: EPROTO: Protocol error"
        );
    }
}
