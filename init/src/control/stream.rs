//! A connection's bytes, within bounds.

use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::time::Duration;
use tare_control::MAX_MESSAGE;
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout, timeout_at};
use zlink_core::connection::PassedCredentials;
use zlink_core::connection::socket::{ReadHalf, ReadResult, Socket, WriteHalf};

/// How long the rest of a message may take once it has begun, and a reply until it is read.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// A connection.
#[derive(Debug)]
pub(super) struct Stream(pub(super) Rc<UnixStream>);

impl Socket for Stream {
    type ReadHalf = Incoming;
    type WriteHalf = Outgoing;

    fn split(self) -> (Incoming, Outgoing) {
        let incoming = Incoming {
            stream: Rc::clone(&self.0),
            begun: None,
        };
        (incoming, Outgoing(self.0))
    }
}

/// What comes in: a message has a longest length and a latest end.
#[derive(Debug)]
pub(super) struct Incoming {
    stream: Rc<UnixStream>,
    /// Length of the message that has begun and not ended, and when it must have.
    begun: Option<(usize, Instant)>,
}

impl Incoming {
    async fn read_some(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.begun {
                Some((_, deadline)) => timeout_at(deadline, self.stream.readable()).await??,
                None => self.stream.readable().await?,
            }
            match self.stream.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return self.count(&buffer[..read?]),
            }
        }
    }

    fn count(&mut self, bytes: &[u8]) -> io::Result<usize> {
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
        Ok(bytes.len())
    }
}

impl ReadHalf for Incoming {
    async fn read(&mut self, buffer: &mut [u8]) -> zlink_core::Result<ReadResult> {
        Ok(ReadResult::new(self.read_some(buffer).await?))
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
