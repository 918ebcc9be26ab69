//! `tare service exec`.

use crate::Failed;
use crate::run::Context;
use std::io::{stderr, stdin, stdout};
use std::os::fd::AsFd;
use tare_control::{ExecInService, Method};

/// Runs `command` in the container of service `name`, with our own standard streams.
pub(crate) fn exec(
    context: &Context,
    name: &str,
    environment: &[String],
    command: &[String],
) -> Result<(), Failed> {
    let method = Method::ExecInService {
        name: name.to_owned(),
        args: command.to_vec(),
        environment: Some(environment.to_vec()),
    };
    let (stdin, stdout, stderr) = (stdin(), stdout(), stderr());
    let descriptors = [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()];
    let ended: ExecInService = context.connect()?.call_with(&method, descriptors)?;
    match status(ended) {
        0 => Ok(()),
        status => Err(Failed::Program(status)),
    }
}

/// The exit status as in a shell: 128 plus the number of the signal that ended it (POSIX, 2.8.2).
fn status(ended: ExecInService) -> u8 {
    let of_signal = |signal: i32| 128 + (signal & 0x7f);
    let status = ended.status.or(ended.signal.map(of_signal)).unwrap_or(1);
    u8::try_from(status & 0xff).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_statuses_are_a_shells() {
        for (code, signal, want) in [
            (Some(0), None, 0),
            (Some(3), None, 3),
            (None, Some(9), 137),
            (None, None, 1),
        ] {
            let ended = ExecInService {
                status: code,
                signal,
            };
            assert_eq!(status(ended), want);
        }
    }
}
