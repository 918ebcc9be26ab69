//! A connection to the receiver.

use crate::tls::Tls;
use std::ffi::c_int;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;
use tare_config::machine::{Forward, Receiver, Transport};

/// How long a connection may take to come about.
const CONNECTS: Duration = Duration::from_secs(10);
/// How long a receiver may take nothing; then the connection counts as broken.
const STALLS: Duration = Duration::from_secs(60);
/// The longest datagram, which receivers should take (RFC 5426, section 3.2), in bytes.
const LONGEST_DATAGRAM: usize = 2048;

/// A connection.
pub(crate) enum Link {
    Udp(UdpSocket),
    Tcp(TcpStream),
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

fn tcp(to: &Receiver) -> io::Result<TcpStream> {
    let mut last = io::Error::other("its name has no address");
    for address in (&*to.host, to.port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECTS) {
            Ok(stream) => {
                stream.set_write_timeout(Some(STALLS))?;
                stream.set_read_timeout(Some(STALLS))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Link {
    /// Appends `message` to `out` as the transport frames it.
    pub(crate) fn frame(&self, message: &[u8], out: &mut Vec<u8>) {
        if let Self::Tcp(_) | Self::Tls(_) = self {
            out.extend_from_slice(format!("{} ", message.len()).as_bytes());
        }
        out.extend_from_slice(message);
    }

    /// Whether a buffer holds several messages.
    pub(crate) fn is_stream(&self) -> bool {
        !matches!(self, Self::Udp(_))
    }

    /// Sends what was framed.
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

    /// Whether the other end has taken all that was sent.
    ///
    /// # Errors
    /// When the connection is broken, or the receiver has ended it.
    pub(crate) fn is_taken(&mut self) -> io::Result<bool> {
        let stream = match self {
            Self::Udp(socket) => return socket.take_error()?.map_or(Ok(true), Err),
            Self::Tcp(stream) => {
                require_open(stream, |mut stream| stream.read(&mut [0; 512]))?;
                &*stream
            }
            Self::Tls(tls) => {
                tls.require_open()?;
                tls.stream()
            }
        };
        let waiting = unacknowledged(stream.as_raw_fd())?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(waiting == 0),
        }
    }

    /// Ends the connection in good order.
    pub(crate) fn close(self) {
        if let Self::Tls(tls) = self {
            tls.close();
        }
    }
}

/// Reads without waiting: a receiver of syslog says nothing but that it ends.
///
/// # Errors
/// `UnexpectedEof` if it has ended.
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

mod ioctl {
    // `SIOCOUTQ` (tcp(7)), the same number as `TIOCOUTQ`.
    nix::ioctl_read_bad!(outq, nix::libc::TIOCOUTQ, std::ffi::c_int);
}

/// How many bytes the other end has not acknowledged.
fn unacknowledged(socket: RawFd) -> io::Result<c_int> {
    let mut bytes = 0;
    // SAFETY: the kernel writes one int to where the pointer shows, a live variable of that type; the socket is open,
    // for the caller holds it.
    unsafe { ioctl::outq(socket, &raw mut bytes) }?;
    Ok(bytes)
}
