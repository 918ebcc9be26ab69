//! A connection's bytes, within bounds.

use super::message::Message;
use crate::effect::descriptors;
use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tare_control::{MAX_MESSAGE, MAX_PRIVILEGED_MESSAGE};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};

/// How long the rest of a message may take once it has begun, and a reply until it is read.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// The most descriptors that a call needs: standard input, output and error.
const MAX_DESCRIPTORS: usize = 3;

/// How many bytes are read at a time: most calls have fewer.
const READ: usize = 4096;

/// The two directions of `stream`. Unless `takes_descriptors`, descriptors that come with messages are closed.
pub(super) fn split(stream: UnixStream, takes_descriptors: bool) -> (Incoming, Outgoing) {
    let stream = Rc::new(stream);
    let incoming = Incoming {
        stream: Rc::clone(&stream),
        takes_descriptors,
        bytes: Vec::new(),
        end: None,
        descriptors: Vec::new(),
        deadline: None,
    };
    (incoming, Outgoing(stream))
}

/// The input: a message has a maximum length and a deadline.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: Rc<UnixStream>,
    takes_descriptors: bool,
    /// Messages that have not been handed out; the last one may be incomplete.
    bytes: Vec<u8>,
    /// Where in `bytes` the first message ends, if it is complete.
    end: Option<usize>,
    /// Each with its place in `bytes`.
    descriptors: Vec<(usize, OwnedFd)>,
    /// When the message that has begun must be complete.
    deadline: Option<Instant>,
}

impl Incoming {
    /// The next message and the descriptors that came with it. Cancel safe: nothing is lost.
    ///
    /// # Errors
    /// The peer is gone, breaks a limit, or sends something that is not a message.
    pub(super) async fn receive(&mut self) -> io::Result<(Message, Vec<OwnedFd>)> {
        loop {
            if let Some(end) = self.end {
                let (bytes, descriptors) = self.take(end);
                return Ok((serde_json::from_slice(&bytes)?, descriptors));
            }
            self.readable().await?;
            self.read()?;
        }
    }

    /// Removes and returns the first message, which ends at `end`.
    fn take(&mut self, end: usize) -> (Vec<u8>, Vec<OwnedFd>) {
        let next = self.bytes.split_off(end + 1);
        let mut message = mem::replace(&mut self.bytes, next);
        message.truncate(end);
        self.end = self.bytes.iter().position(|byte| *byte == 0);
        self.deadline = None;
        let mut taken = Vec::new();
        for (place, descriptor) in mem::take(&mut self.descriptors) {
            match place.checked_sub(end + 1) {
                None => taken.push(descriptor),
                Some(place) => self.descriptors.push((place, descriptor)),
            }
        }
        (message, taken)
    }

    async fn readable(&mut self) -> io::Result<()> {
        if self.bytes.is_empty() {
            return self.stream.readable().await;
        }
        let latest = || Instant::now() + PATIENCE;
        let deadline = *self.deadline.get_or_insert_with(latest);
        timeout_at(deadline, self.stream.readable()).await?
    }

    /// Reads what has arrived, if anything has.
    fn read(&mut self) -> io::Result<()> {
        let mut buffer = [0; READ];
        let receive = || descriptors::receive(&*self.stream, &mut buffer);
        let (length, descriptors) = match self.stream.try_io(Interest::READABLE, receive) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            received => received?,
        };
        if length == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = buffer[..length].iter().position(|byte| *byte == 0);
        self.end = end.map(|end| self.bytes.len() + end);
        self.bytes.extend_from_slice(&buffer[..length]);
        self.keep(descriptors)?;
        let most = match self.takes_descriptors {
            true => MAX_PRIVILEGED_MESSAGE,
            false => MAX_MESSAGE,
        };
        if self.end.unwrap_or(self.bytes.len()) > most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(())
    }

    /// Keeps the descriptors that came with the last bytes. A read ends with the bytes that were sent with
    /// descriptors (6.12, `unix_stream_read_generic()`), so they belong to the message of its last byte.
    fn keep(&mut self, descriptors: Vec<OwnedFd>) -> io::Result<()> {
        if !self.takes_descriptors {
            descriptors::close(descriptors);
            return Ok(());
        }
        let place = self.bytes.len() - 1;
        let placed = descriptors
            .into_iter()
            .map(|descriptor| (place, descriptor));
        self.descriptors.extend(placed);
        if self.descriptors.len() > MAX_DESCRIPTORS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }
}

/// The output.
#[derive(Debug)]
pub(super) struct Outgoing(Rc<UnixStream>);

impl Outgoing {
    /// # Errors
    /// The peer is gone, or has not read the message in time.
    pub(super) async fn send(&self, message: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, self.send_all(message)).await?
    }

    async fn send_all(&self, mut rest: &[u8]) -> io::Result<()> {
        while !rest.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(rest) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => rest = &rest[written?..],
            }
        }
        Ok(())
    }
}
