//! Lines of containers arrive over the socket that PID 1 hands over; the test is the service `engine`, and the receiver.

use crate::PATIENCE;
use crate::connection::Connection;
use crate::service::Service;
use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};

/// The next message that contains `marker`.
fn message_with(connection: &mut Connection, marker: &str) -> Result<String> {
    loop {
        let message = connection.message()?;
        if message.contains(marker) {
            return Ok(message);
        }
    }
}

/// Connects as the service `engine` does; returns the marks from which it is to go on.
fn engine(service: &Service) -> Result<(UnixStream, String)> {
    let stream = UnixStream::connect(service.path("socket"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut marks = String::new();
    BufReader::new(&stream).read_line(&mut marks)?;
    Ok((stream, marks))
}

#[test]
fn what_the_receiver_has_is_not_passed_on_again() -> Result<()> {
    let receiver = TcpListener::bind("127.0.0.1:0")?;
    let mut service = Service::new("forward-containers")?;
    service.configure(&format!("tcp://{}", receiver.local_addr()?), None)?;
    let socket = UnixListener::bind(service.path("socket"))?;
    service.start_with(&socket)?;
    let mut connection = Connection::accept(&receiver, 8 << 10)?;
    let (mut engine_stream, marks) = engine(&service)?;
    assert_eq!(marks, "{}\n");
    engine_stream.write_all(b"0123456789abcdef 1795234355527000001:1 stderr web spoken \\x1b\n")?;
    let message = message_with(&mut connection, "spoken")?;
    let (before, _) = message.split_once("[meta").context("no meta")?;
    let fields: Vec<&str> = before.split(' ').collect();
    assert_eq!(
        fields[..2],
        ["<14>1", "2026-11-21T04:12:35.527Z"],
        "{message}"
    );
    assert_eq!(fields[3..6], ["web", "0123456789ab", "stderr"], "{message}");
    assert!(message.ends_with("] spoken \\x1b"), "{message}");
    // The log goes on beside it.
    service.write(0..1)?;
    message_with(&mut connection, "number 0")?;

    // A clean end: the receiver has it all.
    service.end(Signal::SIGTERM)?;
    drop(connection);
    service.start_with(&socket)?;
    let mut connection = Connection::accept(&receiver, 8 << 10)?;
    let (mut engine_stream, marks) = engine(&service)?;
    assert_eq!(marks, "{\"0123456789abcdef\":\"1795234355527000001:1\"}\n");
    engine_stream.write_all(b"0123456789abcdef 1795234355527000001:2 stdout web unsure\n")?;
    message_with(&mut connection, "unsure")?;

    // The receiver breaks the connection at once: it may not have kept what it had.
    drop(connection);
    assert_eq!(engine_stream.read(&mut [0; 9])?, 0);
    let mut connection = Connection::accept(&receiver, 8 << 10)?;
    let (mut engine_stream, marks) = engine(&service)?;
    assert_eq!(marks, "{\"0123456789abcdef\":\"1795234355527000001:1\"}\n");
    engine_stream.write_all(b"0123456789abcdef -\n0123456789abcdee 5:1 stdout db other\n")?;
    message_with(&mut connection, "other")?;
    service.end(Signal::SIGTERM)?;
    let kept = std::fs::read_to_string(service.path("state").join("position.json"))?;
    assert!(
        kept.ends_with("\"containers\":{\"0123456789abcdee\":\"5:1\"}}"),
        "{kept}"
    );
    service.remove()
}
