//! Serves the sockets that PID 1 holds.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::thread;

/// Answers each line with the names of its sockets and its process id, see `sd_listen_fds(3)`.
pub(crate) fn echo() -> ! {
    let sockets = sd_notify::listen_fds_with_names();
    let sockets: Vec<_> = sockets.map(Iterator::collect).unwrap_or_default();
    println!("sockets {sockets:?}");
    let Some((fd, name)) = sockets.into_iter().next() else {
        std::process::exit(6)
    };
    // SAFETY: PID 1 passed this descriptor to us, and nothing else here uses it.
    let listener = TcpListener::from(unsafe { OwnedFd::from_raw_fd(fd) });
    for stream in listener.incoming().flatten() {
        let name = name.clone();
        thread::spawn(move || serve(&stream, &name));
    }
    std::process::exit(7)
}

fn serve(stream: &TcpStream, name: &str) -> std::io::Result<()> {
    let mut stream_out = stream;
    for line in BufReader::new(stream).lines() {
        let line = line?;
        if line == "crash" {
            std::process::exit(8);
        }
        writeln!(stream_out, "{name} {} {line}", std::process::id())?;
    }
    Ok(())
}
