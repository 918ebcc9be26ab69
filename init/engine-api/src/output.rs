//! The output of a container, as the engine's API has it with `timestamps=1`: `TIME TEXT` for each line, or for a part
//! of 16 KiB of a longer one.
//!
//! Without a terminal, each is in a frame: a byte for the stream, three zeros, the length in big endian (Docker's API,
//! "Attach to a container"). With one, they follow each other; only its length tells where a part of a longer line ends.

use crate::EngineError;
use crate::answer::{Head, message};
use memchr::memchr;
use std::io;
use std::time::SystemTime;

/// How much of a line the engine reads at once (`defaultBufSize` in its `copier.go`).
const LONGEST: usize = 16 << 10;
/// A time as the engine writes it, and the space after it.
const LONGEST_TIME: usize = "2026-11-21T04:12:35.527000000Z ".len();
/// The head of a frame.
const HEAD: usize = 8;

/// What a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, or the terminal.
    Stdout,
    /// Standard error.
    Stderr,
    /// Not the container's: the engine says why it cannot read on.
    Engine,
}

impl Stream {
    /// As a record of the log names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Engine => "engine",
        }
    }
}

/// A line that a container has written, or a part of 16 KiB of a longer one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it was written to.
    pub stream: Stream,
    /// When, in nanoseconds since 1970.
    pub time: u64,
    /// Without its end.
    pub text: Vec<u8>,
}

/// Splits an answer into lines as it arrives.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    /// Up to where `bytes` have been taken.
    taken: usize,
    head: Option<Head>,
    /// The last line's, for one that has none.
    time: u64,
}

impl Output {
    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next line; `None` if it has not arrived whole.
    ///
    /// # Errors
    /// The answer is not what the engine sends.
    pub fn next_line(&mut self) -> Result<Option<Line>, EngineError> {
        let Some(head) = self.head()? else {
            return Ok(None);
        };
        if head.status != 200 {
            // What it says is complete when the connection ends.
            return Ok(None);
        }
        let rest = &self.bytes[self.taken..];
        let next = match head.is_framed {
            true => frame(rest)?,
            false => raw(rest).map(|(text, length)| (Stream::Stdout, text, length)),
        };
        let Some((stream, text, length)) = next else {
            return Ok(None);
        };
        let (time, text) = split_time(text);
        let line = Line {
            stream,
            time: time.unwrap_or(self.time),
            text: text.to_owned(),
        };
        self.time = line.time;
        self.taken += length;
        Ok(Some(line))
    }

    /// What is left when the connection has ended: a terminal's last line need not have an end.
    ///
    /// # Errors
    /// The engine refused, or the answer was cut off.
    pub fn end(mut self) -> Result<Option<Line>, EngineError> {
        let head = self.head()?;
        let rest = &self.bytes[self.taken..];
        match head {
            Some(Head { status: 200, .. }) if rest.is_empty() => Ok(None),
            Some(Head {
                status: 200,
                is_framed: false,
            }) => {
                let (time, text) = split_time(rest);
                Ok(Some(Line {
                    stream: Stream::Stdout,
                    time: time.unwrap_or(self.time),
                    text: text.to_owned(),
                }))
            }
            None | Some(Head { status: 200, .. }) => {
                Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
            }
            Some(Head { status, .. }) => Err(EngineError::Refused {
                status,
                message: message(rest),
            }),
        }
    }

    fn head(&mut self) -> io::Result<Option<Head>> {
        if self.head.is_none() {
            let parsed = Head::parse(&self.bytes[self.taken..])?;
            if let Some((head, length)) = parsed {
                self.head = Some(head);
                self.taken += length;
            }
        }
        Ok(self.head)
    }
}

/// The first line of frames, and the length of its frame.
fn frame<'a>(bytes: &'a [u8]) -> io::Result<Option<(Stream, &'a [u8], usize)>> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(None);
    };
    let [stream, 0, 0, 0, length @ ..] = *head else {
        return Err(unexpected(head));
    };
    let stream = match stream {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        3 => Stream::Engine,
        _ => return Err(unexpected(head)),
    };
    let length = u32::from_be_bytes(length) as usize;
    // Far more than a line: the position in the answer is wrong.
    if length > 4 * LONGEST {
        return Err(unexpected(head));
    }
    let line = |text: &'a [u8]| text.strip_suffix(b"\n").unwrap_or(text);
    let text = rest.get(..length);
    Ok(text.map(|text| (stream, line(text), HEAD + length)))
}

fn unexpected(head: &[u8]) -> io::Error {
    let error = format!("a frame of a container's output begins with {head:02x?}");
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// The first line of a terminal, and its length with its end.
fn raw(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let head = &bytes[..bytes.len().min(LONGEST_TIME)];
    let most = memchr(b' ', head).map_or(0, |space| space + 1) + LONGEST;
    match memchr(b'\n', &bytes[..bytes.len().min(most + 1)]) {
        // A terminal ends lines with both.
        Some(end) => {
            let text = &bytes[..end];
            Some((text.strip_suffix(b"\r").unwrap_or(text), end + 1))
        }
        None if bytes.len() > most => Some((&bytes[..most], most)),
        None => None,
    }
}

/// Splits off the time, if there is one.
fn split_time(text: &[u8]) -> (Option<u64>, &[u8]) {
    let head = &text[..text.len().min(LONGEST_TIME)];
    let split = || {
        let space = memchr(b' ', head)?;
        let time = std::str::from_utf8(&head[..space]).ok()?;
        Some((nanoseconds(time)?, &text[space + 1..]))
    };
    split().map_or((None, text), |(time, text)| (Some(time), text))
}

/// Reads RFC 3339. It is in UTC: the engine's image has no time zones.
fn nanoseconds(time: &str) -> Option<u64> {
    let time = humantime::parse_rfc3339(time).ok()?;
    let since = time.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_nanos()).ok()
}

#[cfg(test)]
mod tests;
