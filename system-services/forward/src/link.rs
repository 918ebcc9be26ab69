//! A connection to the receiver.

use crate::counted::Counted;
use crate::tls::Tls;
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpUserTimeout;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;
use tare_config::machine::{Forward, Receiver, Transport};

/// The timeout for connecting.
const CONNECTS: Duration = Duration::from_secs(10);
/// How long a receiver may accept no data before the connection counts as broken.
const STALLS: Duration = Duration::from_secs(60);
/// The longest datagram, in bytes: receivers should accept this size (RFC 5426, section 3.2).
const LONGEST_DATAGRAM: usize = 2048;

/// A connection.
pub(crate) enum Link {
    Udp(UdpSocket),
    Tcp(Counted),
    Tls(Box<Tls>),
}

/// Connects to the receiver.
///
/// # Errors
/// When none of its addresses answers.
pub(crate) fn connect(forward: &Forward) -> io::Result<Link> {
    let to = &forward.to;
    match to.transport {
        Transport::Udp => Ok(Link::Udp(udp(to)?)),
        Transport::Tcp => Ok(Link::Tcp(tcp(to)?)),
        Transport::Tls => {
            let ca = forward.ca.as_deref().unwrap_or_default();
            Ok(Link::Tls(Box::new(Tls::open(tcp(to)?, &to.host, ca)?)))
        }
    }
}

fn udp(to: &Receiver) -> io::Result<UdpSocket> {
    let address = (&*to.host, to.port).to_socket_addrs()?.next();
    let address = address.ok_or_else(|| io::Error::other("its name has no address"))?;
    let any = if address.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(address)?;
    Ok(socket)
}

fn tcp(to: &Receiver) -> io::Result<Counted> {
    let mut last = io::Error::other("its name has no address");
    for address in (&*to.host, to.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECTS) {
            Ok(stream) => {
                stream.set_write_timeout(Some(STALLS))?;
                stream.set_read_timeout(Some(STALLS))?;
                // What fits in the kernel's buffer is written without waiting, even to a host that is gone.
                setsockopt(&stream, TcpUserTimeout, &(STALLS.as_millis() as u32))?;
                return Ok(Counted::new(stream));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Link {
    /// Appends `message` to `out`, framed for the transport.
    pub(crate) fn frame(&self, message: &[u8], out: &mut Vec<u8>) {
        if let Self::Tcp(_) | Self::Tls(_) = self {
            out.extend_from_slice(format!("{} ", message.len()).as_bytes());
        }
        out.extend_from_slice(message);
    }

    /// Whether a buffer may hold several messages.
    pub(crate) fn is_stream(&self) -> bool {
        !matches!(self, Self::Udp(_))
    }

    /// Sends framed messages.
    ///
    /// # Errors
    /// When the connection is broken.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => {
                let bytes = &bytes[..bytes.len().min(LONGEST_DATAGRAM)];
                socket.send(bytes).map(drop)
            }
            Self::Tcp(stream) => stream.write_all(bytes),
            Self::Tls(tls) => tls.write_all(bytes),
        }
    }

    /// Bytes written to the connection so far, as sent on the wire; datagrams are not counted.
    pub(crate) fn sent(&self) -> u64 {
        match self {
            Self::Udp(_) => 0,
            Self::Tcp(stream) => stream.written(),
            Self::Tls(tls) => tls.stream().written(),
        }
    }

    /// How many of those bytes the other end has acknowledged.
    ///
    /// # Errors
    /// When the connection is broken, or the receiver has closed it.
    pub(crate) fn taken(&mut self) -> io::Result<u64> {
        match self {
            Self::Udp(socket) => socket.take_error()?.map_or(Ok(0), Err),
            Self::Tcp(stream) => {
                require_open(stream.stream(), |mut stream| stream.read(&mut [0; 512]))?;
                stream.acknowledged()
            }
            Self::Tls(tls) => {
                tls.require_open()?;
                tls.stream().acknowledged()
            }
        }
    }

    /// Closes the connection cleanly.
    pub(crate) fn close(self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }
}

/// Reads without blocking: a syslog receiver sends nothing, so all there is to read is the end of the connection.
///
/// # Errors
/// `UnexpectedEof` if the receiver has closed the connection.
pub(crate) fn require_open(
    stream: &TcpStream,
    read: impl FnOnce(&TcpStream) -> io::Result<usize>,
) -> io::Result<()> {
    stream.set_nonblocking(true)?;
    let read = read(stream);
    stream.set_nonblocking(false)?;
    match read {
        Ok(0) => Err(io::Error::new(
            ErrorKind::UnexpectedEof,
            "the receiver has ended",
        )),
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::socket::getsockopt;
    use std::net::TcpListener;

    #[test]
    fn a_receiver_that_vanished_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = Receiver {
            transport: Transport::Tcp,
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let stream = tcp(&to).unwrap();
        let timeout = getsockopt(stream.stream(), TcpUserTimeout).unwrap();
        assert_eq!(timeout, 60_000);
    }
}
