//! dockerd's output: it is passed on to the log, and some messages matter here.

use rustix::io::ioctl_fionbio;
use std::io::{self, Read, Write};
use std::process::ChildStderr;

/// Longer lines are searched in parts.
const LONGEST: usize = 16 << 10;

/// Messages of dockerd that are acted on. They come from libnetwork's `controller.go` and the daemon's `reload.go`;
/// the tests of the whole system fail if they change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// dockerd removed an endpoint of a container that was starting when everything ended, but not the ports it had
    /// allocated for it. They are free only in its next run.
    StaleEndpoint,
    /// dockerd has reloaded its configuration.
    Reloaded,
}

const MESSAGES: [(&[u8], Message); 2] = [
    (b"Removing stale endpoint", Message::StaleEndpoint),
    (b"Reloaded configuration", Message::Reloaded),
];

/// dockerd's standard error.
pub(crate) struct Said {
    pub(crate) pipe: ChildStderr,
    line: Vec<u8>,
}

impl Said {
    pub(crate) fn new(pipe: ChildStderr) -> io::Result<Self> {
        ioctl_fionbio(&pipe, true)?;
        let line = Vec::new();
        Ok(Self { pipe, line })
    }

    /// Passes on the output since the last call and returns the messages in it. `None` if there will be no more.
    pub(crate) fn pass_on(&mut self) -> Option<Vec<Message>> {
        let mut messages = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            match self.pipe.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => {
                    // There is nowhere to report a failure.
                    let _ = io::stderr().write_all(&buffer[..length]);
                    messages.extend(take_messages(&mut self.line, &buffer[..length]));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(messages),
                Err(_) => return None,
            }
        }
    }
}

/// Appends `bytes` to the incomplete `line`; returns the messages in the lines that are now complete.
fn take_messages(line: &mut Vec<u8>, bytes: &[u8]) -> Vec<Message> {
    let mut messages = Vec::new();
    for byte in bytes {
        if *byte != b'\n' && line.len() < LONGEST {
            line.push(*byte);
            continue;
        }
        messages.extend(message(line));
        line.clear();
    }
    messages
}

fn message(line: &[u8]) -> Option<Message> {
    let holds = |text: &[u8]| line.windows(text.len()).any(|part| part == text);
    let mut messages = MESSAGES.iter();
    messages
        .find(|(text, _)| holds(text))
        .map(|(_, message)| *message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_whole_lines() {
        let mut line = Vec::new();
        for (bytes, want) in [
            ("level=info msg=\"Removing stale ", vec![]),
            ("endpoint web (4f)\"\nlevel=", vec![Message::StaleEndpoint]),
            (
                "info\nReloaded configuration: {}\n\n",
                vec![Message::Reloaded],
            ),
            ("Removing stale sandbox\n", vec![]),
        ] {
            assert_eq!(take_messages(&mut line, bytes.as_bytes()), want, "{bytes}");
        }
        assert!(line.is_empty());
    }
}
