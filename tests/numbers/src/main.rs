//! The service that `docs/services.md` shows: hands out numbers over HTTP, on the sockets passed to it or on port
//! 8080. `--check` tests whether it answers, `--ask` takes a number from its unix socket.

use sd_notify::NotifyState;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use std::{env, fs, io, process, thread};

const PORT: u16 = 8080;
const SOCKET: &str = "/run/numbers/api.sock";

fn main() -> ExitCode {
    let done = match env::args().nth(1).as_deref() {
        Some("--check") => check(),
        Some("--ask") => ask(),
        _ => serve(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("numbers: {error}");
            ExitCode::FAILURE
        }
    }
}

fn check() -> io::Result<()> {
    get(TcpStream::connect((Ipv4Addr::LOCALHOST, PORT))?, "/check").map(drop)
}

/// Prints a number, and the mode and group of the socket.
fn ask() -> io::Result<()> {
    let number = get(UnixStream::connect(SOCKET)?, "/")?;
    let socket = fs::metadata(SOCKET)?;
    println!("{number} {:o} {}", socket.mode() & 0o7777, socket.gid());
    Ok(())
}

/// The body of the answer for `path`.
fn get(mut stream: impl Read + Write, path: &str) -> io::Result<String> {
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let answer = io::read_to_string(stream)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.trim());
    body.map(str::to_owned)
        .ok_or_else(|| io::Error::other(answer.clone()))
}

/// Exits on SIGTERM.
fn serve() -> io::Result<()> {
    println!("run {}", process::id());
    let always = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGTERM, 0, always)?;
    let given = sd_notify::listen_fds_with_names();
    let given: Vec<_> = given.map(Iterator::collect).unwrap_or_default();
    if given.is_empty() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, PORT))?;
        thread::spawn(move || listener.incoming().for_each(hand_out));
    }
    for (fd, name) in given {
        // SAFETY: PID 1 passed this descriptor to us, and nothing else here uses it.
        let socket = unsafe { OwnedFd::from_raw_fd(fd) };
        if name == "api" {
            let listener = UnixListener::from(socket);
            listener.set_nonblocking(false)?;
            thread::spawn(move || listener.incoming().for_each(hand_out));
        } else {
            let listener = TcpListener::from(socket);
            listener.set_nonblocking(false)?;
            thread::spawn(move || listener.incoming().for_each(hand_out));
        }
    }
    let say = |state| sd_notify::notify(&[state]);
    // Nothing listens if the service is ready without a message and has no watchdog.
    let _ = say(NotifyState::Ready);
    let interval = sd_notify::watchdog_enabled().unwrap_or(Duration::MAX);
    loop {
        thread::sleep(interval / 4);
        let _ = say(NotifyState::Watchdog);
    }
}

/// Answers one request. Ignores a client that is gone.
fn hand_out<S: Read + Write>(stream: io::Result<S>) {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let Ok(mut stream) = stream else { return };
    let mut request = BufReader::new(&mut stream).lines().map_while(Result::ok);
    let first = request.next().unwrap_or_default();
    request.find(String::is_empty);
    drop(request);
    println!("is asked {first}");
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let _ = write!(stream, "HTTP/1.0 200 OK\r\n\r\n{number}\n");
}
