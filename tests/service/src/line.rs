//! Commands over TCP, one line and one connection each.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// Listens on `port` of the loopback; exits if it cannot.
pub(crate) fn bind(port: &str) -> TcpListener {
    let port = port.parse().unwrap_or(0);
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap_or_else(|error| {
        println!("bind port {port}: {error}");
        std::process::exit(3)
    })
}

/// Listens on `address`, a path or a port of the loopback, once `/run/t/listen` exists. Never answers.
pub(crate) fn listen(address: &str) -> ! {
    while !Path::new("/run/t/listen").exists() {
        thread::sleep(Duration::from_millis(200));
    }
    let (_unix, _tcp) = match address.starts_with('/') {
        true => (UnixListener::bind(address).ok(), None),
        false => (None, Some(bind(address))),
    };
    loop {
        thread::park();
    }
}

/// Answers each line, split at its first space, for ever.
pub(crate) fn serve(listener: &TcpListener, answer: impl Fn(&str, &str) -> String) -> ! {
    for stream in listener.incoming().flatten() {
        let _ = serve_one(&stream, &answer);
    }
    std::process::exit(4)
}

fn serve_one(mut stream: &TcpStream, answer: impl Fn(&str, &str) -> String) -> std::io::Result<()> {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    let line = line.trim_end();
    let (command, rest) = line.split_once(' ').unwrap_or((line, ""));
    stream.write_all(answer(command, rest).as_bytes())
}
