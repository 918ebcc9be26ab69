//! What the child tells the parent when it cannot go on.

use super::LaunchError;
use nix::errno::Errno;
use std::ffi::CStr;
use std::os::fd::AsFd;

/// `PIPE_BUF`: what a pipe takes whole or not at all.
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

    /// The cause as a number of the machine, then the step.
    fn encode(&self) -> Vec<u8> {
        let mut report = (self.source as i32).to_ne_bytes().to_vec();
        report.extend(self.step.bytes().take(MAX_REPORT - 4));
        report
    }

    pub(super) fn send(&self, pipe: impl AsFd) {
        // The parent may be gone, or its pipe; there is nobody else to tell.
        let _ = nix::unistd::write(pipe, &self.encode());
    }
}

/// What the child's report says.
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

/// Names the step whose result it is called on; text is only made when it failed.
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
