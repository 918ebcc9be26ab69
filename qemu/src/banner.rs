//! Waits for the first answer of a guest's sshd, as early as possible and with few connections.
//!
//! QEMU accepts a connection to a forwarded port at once. If a guest without a network does not answer the SYN, QEMU
//! repeats it only seconds later, so the client must reconnect. Abandoned connections still reach sshd once the
//! network is up, and sshd (since 9.8) refuses a client that connects often and sends nothing. So a port without a
//! listener is tried until the guest's kernel refuses, and only then sshd.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::wait::Deadline;

/// Between two checks of a connection. There is no event to wait for, and this bounds the error of a measured time.
const LOOK: Duration = Duration::from_millis(20);
/// Between two attempts to reach the network.
const ASK: Duration = Duration::from_millis(100);

/// Ports of the host's loopback that are forwarded to one guest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    /// To sshd.
    pub(crate) ssh: u16,
    /// To a port on which the guest does not listen.
    pub(crate) closed: u16,
}

/// Waits until sshd sends its banner; `false` if the deadline passes first.
///
/// # Errors
/// Those of `well`, which fails once waiting is pointless.
pub(crate) fn wait(
    ports: Ports,
    deadline: Deadline,
    well: impl Fn() -> Result<()>,
) -> Result<bool> {
    Ok(wait_network(ports.closed, deadline, &well)? && wait_sshd(ports.ssh, deadline, &well)?)
}

/// Connects repeatedly without closing earlier connections: a slow guest eventually answers each.
fn wait_network(port: u16, deadline: Deadline, well: &impl Fn() -> Result<()>) -> Result<bool> {
    let mut asked: Vec<TcpStream> = Vec::new();
    let mut next = Instant::now();
    while deadline.left().is_some() {
        if Instant::now() >= next {
            asked.extend(connect(port).ok());
            next += ASK;
        }
        if asked.iter().any(|stream| heard(stream) != Heard::Silence) {
            return Ok(true);
        }
        well()?;
        thread::sleep(LOOK);
    }
    Ok(false)
}

/// Reconnects only after a refusal.
fn wait_sshd(port: u16, deadline: Deadline, well: &impl Fn() -> Result<()>) -> Result<bool> {
    let mut attempt = None;
    while deadline.left().is_some() {
        let stream = attempt.take().or_else(|| connect(port).ok());
        match stream.as_ref().map(heard) {
            Some(Heard::Banner) => return Ok(true),
            Some(Heard::Silence) => attempt = stream,
            Some(Heard::Refusal) | None => {}
        }
        well()?;
        thread::sleep(LOOK);
    }
    Ok(false)
}

fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Banner,
    Silence,
    Refusal,
}

fn heard(stream: &TcpStream) -> Heard {
    let mut banner = [0; 4];
    match stream.peek(&mut banner) {
        Ok(length) if banner[..length] == *b"SSH-" => Heard::Banner,
        Err(error) if error.kind() == ErrorKind::WouldBlock => Heard::Silence,
        Ok(_) | Err(_) => Heard::Refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wait::secs;
    use std::io::Write;
    use std::net::TcpListener;

    fn listen() -> (TcpListener, u16) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[test]
    fn sshd_is_asked_when_the_kernel_refuses() {
        let ((quiet, closed), (sshd, ssh)) = (listen(), listen());
        let guest = thread::spawn(move || {
            // The network comes up: the second connection is answered.
            let unanswered = quiet.accept().unwrap();
            let refused = quiet.accept().unwrap();
            sshd.set_nonblocking(true).unwrap();
            let early = sshd.accept().is_ok();
            sshd.set_nonblocking(false).unwrap();
            drop(refused);
            // Not yet listening, then slow.
            drop(sshd.accept().unwrap());
            let (mut stream, _) = sshd.accept().unwrap();
            thread::sleep(2 * ASK);
            stream.write_all(b"SSH-2.0-test\r\n").unwrap();
            sshd.set_nonblocking(true).unwrap();
            (early, sshd.accept().is_ok(), unanswered, stream)
        });
        let ports = Ports { ssh, closed };
        assert!(wait(ports, Deadline::after(secs(10)), || Ok(())).unwrap());
        let (early, further, ..) = guest.join().unwrap();
        assert_eq!((early, further), (false, false));
    }

    #[test]
    fn a_guest_that_never_answers() {
        let ((_quiet, closed), (sshd, ssh)) = (listen(), listen());
        let ports = Ports { ssh, closed };
        assert!(!wait(ports, Deadline::after(3 * ASK), || Ok(())).unwrap());
        sshd.set_nonblocking(true).unwrap();
        assert!(sshd.accept().is_err());
    }
}
