//! A connection that knows how much of its data the other end has acknowledged.

use std::ffi::c_int;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};

/// A stream and the number of bytes written to it.
#[derive(Debug)]
pub(crate) struct Counted {
    stream: TcpStream,
    written: u64,
}

impl Counted {
    pub(crate) fn new(stream: TcpStream) -> Self {
        Self { stream, written: 0 }
    }

    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// How many of the written bytes the other end has acknowledged.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn acknowledged(&self) -> io::Result<u64> {
        let waiting = unacknowledged(self.stream.as_raw_fd())?;
        match self.stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(self.written.saturating_sub(waiting.unsigned_abs().into())),
        }
    }
}

impl Read for Counted {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.read(bytes)
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.stream.write(bytes)?;
        self.written += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

mod ioctl {
    // `SIOCOUTQ` (tcp(7)), the same number as `TIOCOUTQ`.
    nix::ioctl_read_bad!(outq, nix::libc::TIOCOUTQ, std::ffi::c_int);
}

/// How many bytes the other end has not acknowledged.
fn unacknowledged(socket: RawFd) -> io::Result<c_int> {
    let mut bytes = 0;
    // SAFETY: the kernel writes one int through the pointer, which points to a live variable of that type. The socket
    // is open because the caller holds it.
    unsafe { ioctl::outq(socket, &raw mut bytes) }?;
    Ok(bytes)
}
