//! How the command ends when it does not succeed.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tare_control::{CallError, Failure};
use thiserror::Error;

/// Why the command has not succeeded.
#[derive(Debug, Error)]
pub enum Failed {
    /// PID 1 has no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What was wanted did not come about.
    #[error("{0}")]
    NotSo(String),
    /// The machine is not ready; the status has said so.
    #[error("")]
    NotReady,
    /// The program that was run has ended so; it has said why itself.
    #[error("")]
    Program(u8),
    /// The log cannot be read.
    #[error("read {}: {source}", folder.display())]
    Log {
        /// Where it is.
        folder: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The output cannot be written.
    #[error("write: {0}")]
    Output(#[from] io::Error),
}

impl Failed {
    /// The exit status, as `tare --help` lists them.
    #[must_use]
    pub fn status(&self) -> u8 {
        match self {
            Self::Call(CallError::Refused(Failure::PermissionDenied {})) => 4,
            Self::Call(CallError::Refused(_) | CallError::Unknown(_)) | Self::NotSo(_) => 1,
            Self::Call(CallError::Connect { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                4
            }
            Self::Log { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => 4,
            Self::Log { .. } => 1,
            Self::Call(_) => 3,
            Self::NotReady => 5,
            Self::Program(status) => *status,
            // Whoever read it has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
        }
    }

    /// Tells it, and how the process is to end.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        let status = self.status();
        let text = self.to_string();
        if status != 0 && !text.is_empty() {
            // Nobody is left to be told that this cannot be written.
            let _ = writeln!(io::stderr(), "tare: {text}");
        }
        ExitCode::from(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses() {
        let connect = |kind: io::ErrorKind| CallError::Connect {
            path: "/x".into(),
            source: kind.into(),
        };
        let log = |kind: io::ErrorKind| Failed::Log {
            folder: "/x".into(),
            source: kind.into(),
        };
        let not_found = Failure::ServiceNotFound { name: "x".into() };
        for (failed, want) in [
            (Failed::NotSo("late".to_owned()), 1),
            (Failed::Call(CallError::Refused(not_found)), 1),
            (Failed::Call(CallError::Unknown("x".to_owned())), 1),
            (Failed::Call(connect(io::ErrorKind::NotFound)), 3),
            (
                Failed::Call(CallError::Talk(io::ErrorKind::TimedOut.into())),
                3,
            ),
            (Failed::Call(connect(io::ErrorKind::PermissionDenied)), 4),
            (
                Failed::Call(CallError::Refused(Failure::PermissionDenied {})),
                4,
            ),
            (log(io::ErrorKind::PermissionDenied), 4),
            (log(io::ErrorKind::NotFound), 1),
            (Failed::NotReady, 5),
            (Failed::Output(io::ErrorKind::BrokenPipe.into()), 0),
            (Failed::Output(io::ErrorKind::StorageFull.into()), 1),
        ] {
            assert_eq!(failed.status(), want, "{failed:?}");
        }
    }
}
