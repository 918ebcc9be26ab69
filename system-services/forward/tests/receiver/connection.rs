//! The receiver's end of a connection.

use crate::PATIENCE;
use anyhow::Result;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};

pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// The next connection. At most `capacity` bytes are taken from it before they are needed.
    pub(crate) fn accept(listener: &TcpListener, capacity: usize) -> Result<Self> {
        let (stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::with_capacity(capacity, stream)))
    }

    /// The next message (RFC 6587, octet counting).
    pub(crate) fn message(&mut self) -> Result<String> {
        let mut length = Vec::new();
        self.0.read_until(b' ', &mut length)?;
        let length = String::from_utf8(length)?.trim_end().parse()?;
        let mut message = vec![0; length];
        self.0.read_exact(&mut message)?;
        Ok(String::from_utf8(message)?)
    }
}
