//! A connection's bytes, within bounds.

use crate::effect::descriptors;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;
use tare_control::MAX_MESSAGE;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};
use zlink_core::connection::PassedCredentials;
use zlink_core::connection::socket::{ReadHalf, ReadResult, Socket, WriteHalf};

/// How long the rest of a message may take once it has begun, and a reply until it is read.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// As many descriptors as any call wants: standard input, output and error.
const MAX_DESCRIPTORS: usize = 3;

/// How many bytes came, and the descriptors with them.
type Received = (usize, Vec<OwnedFd>);

/// A connection.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) stream: Rc<UnixStream>,
    /// Whether descriptors are taken that come with messages.
    pub(super) takes_descriptors: bool,
}

impl Socket for Stream {
    type ReadHalf = Incoming;
    type WriteHalf = Outgoing;

    fn split(self) -> (Incoming, Outgoing) {
        let incoming = Incoming {
            stream: Rc::clone(&self.stream),
            takes_descriptors: self.takes_descriptors,
            begun: None,
            descriptors: 0,
        };
        (incoming, Outgoing(self.stream))
    }
}

/// What comes in: a message has a longest length and a latest end.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: Rc<UnixStream>,
    takes_descriptors: bool,
    /// How many have come since a message ended.
    descriptors: usize,
    /// Length of the message that has begun and not ended, and when it must have.
    begun: Option<(usize, Instant)>,
}

impl Incoming {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        loop {
            match self.begun {
                Some((_, deadline)) => timeout_at(deadline, self.stream.readable()).await??,
                None => self.stream.readable().await?,
            }
            match self.receive(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
                Ok((length, descriptors)) if !self.takes_descriptors => {
                    descriptors::close(descriptors);
                    self.count(&buffer[..length], 0)?;
                    return Ok((length, vec![]));
                }
                Ok((length, descriptors)) => {
                    self.count(&buffer[..length], descriptors.len())?;
                    return Ok((length, descriptors));
                }
            }
        }
    }

    fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        let receive = || descriptors::receive(&*self.stream, buffer);
        self.stream.try_io(Interest::READABLE, receive)
    }

    fn count(&mut self, bytes: &[u8], descriptors: usize) -> io::Result<()> {
        self.descriptors += descriptors;
        if self.descriptors > MAX_DESCRIPTORS {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        if bytes.contains(&0) {
            self.descriptors = 0;
        }
        let (before, deadline) = self.begun.unwrap_or_else(|| (0, Instant::now() + PATIENCE));
        let to_end = bytes.iter().take_while(|byte| **byte != 0).count();
        if before + to_end > MAX_MESSAGE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.begun = match bytes.iter().rev().take_while(|byte| **byte != 0).count() {
            0 => None,
            all if all == bytes.len() => Some((before + all, deadline)),
            of_next => Some((of_next, Instant::now() + PATIENCE)),
        };
        Ok(())
    }
}

impl ReadHalf for Incoming {
    async fn read(&mut self, buffer: &mut [u8]) -> zlink_core::Result<ReadResult> {
        let (length, descriptors) = self.read_some(buffer).await?;
        Ok(ReadResult::new(length).set_fds(descriptors))
    }
}

/// What goes out.
#[derive(Debug)]
pub(super) struct Outgoing(Rc<UnixStream>);

impl Outgoing {
    /// # Errors
    /// The peer is gone, or has not read it in time.
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

/// `zlink` would write by this; its writer takes 150 ms for a list of a thousand services.
impl WriteHalf for Outgoing {
    async fn write(
        &mut self,
        buffer: &[u8],
        _: &[impl AsFd],
        _: Option<&PassedCredentials>,
    ) -> zlink_core::Result<()> {
        Ok(self.send(buffer).await?)
    }
}
