//! How the command ends on failure.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use tare_control::{CallError, Failure};
use tare_engine_api::EngineError;
use thiserror::Error;

/// Why the command failed.
#[derive(Debug, Error)]
pub enum Failed {
    /// The call to PID 1 failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The requested outcome was not reached.
    #[error("{0}")]
    NotSo(String),
    /// The machine is not ready; the output has said so.
    #[error("")]
    NotReady,
    /// The exit status of the program that was run; it has given the reason itself.
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
    /// The engine cannot be asked, or has not answered.
    #[error(transparent)]
    Engine(EngineError),
    /// The program's terminal cannot be set up, or ours is gone.
    #[error("terminal: {0}")]
    Terminal(io::Error),
    /// The output cannot be written.
    #[error("write: {0}")]
    Output(#[from] io::Error),
}

impl Failed {
    /// The exit status, as listed in `tare --help`.
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
            Self::Engine(EngineError::Connect { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied =>
            {
                4
            }
            Self::Log { .. } | Self::Engine(_) | Self::Terminal(_) => 1,
            Self::Call(_) => 3,
            Self::NotReady => 5,
            Self::Program(status) => *status,
            // The reader has seen enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
        }
    }

    /// Reports the failure and returns the exit code.
    #[must_use]
    pub fn report(&self) -> ExitCode {
        let status = self.status();
        let text = self.to_string();
        if status != 0 && !text.is_empty() {
            // A failure to write this cannot be reported.
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
        let engine = |kind: io::ErrorKind| {
            Failed::Engine(EngineError::Connect {
                socket: "/x".into(),
                source: kind.into(),
            })
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
            (engine(io::ErrorKind::PermissionDenied), 4),
            (engine(io::ErrorKind::TimedOut), 1),
            (Failed::NotReady, 5),
            (Failed::Output(io::ErrorKind::BrokenPipe.into()), 0),
            (Failed::Output(io::ErrorKind::StorageFull.into()), 1),
        ] {
            assert_eq!(failed.status(), want, "{failed:?}");
        }
    }
}
