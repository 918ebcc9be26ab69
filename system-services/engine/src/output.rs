//! Passes the output of containers on to the service `forward`, in a process of its own: it may wait for a receiver far
//! away, and reads what containers write.
//!
//! `forward` says how far the receiver has each container's output. From there on, this process reads it as
//! `docker logs --follow` does. What does not go on is not read on, so dockerd's files are the buffer, and nothing is
//! kept here.

mod follow;
mod pass;
mod process;

pub(crate) use process::Process;

use crate::launch;
use anyhow::{Context, Result};
use pass::Pass;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::net::UnixStream;
use std::thread::sleep;
use std::time::Duration;
use tare_engine_api::{Engine, Mark, SOCKET};

/// The argument that selects [`run`].
pub(crate) const ARGUMENT: &str = "pass-output";
/// Where PID 1 listens for `forward`.
const RECEIVER: &str = "/run/forward/containers.sock";
/// Wait between two connections.
const WAIT: Duration = Duration::from_secs(1);

/// Passes output on until it is killed. `forward` and dockerd may come and go.
pub(crate) fn run() -> ! {
    launch::close_sockets();
    let engine = Engine::new(SOCKET);
    let mut reported = String::new();
    loop {
        // Each line logged here is itself forwarded, so a failure is reported only if it differs from the last one.
        match pass_on(&engine, RECEIVER) {
            Err(error) if !is_end(&error) => {
                let error = format!("{error:#}");
                if error != reported {
                    eprintln!("<4>output of containers is not forwarded: {error}; trying again");
                    reported = error;
                }
            }
            _ => {}
        }
        sleep(WAIT);
    }
}

/// Whether `forward` has ended the connection, as it does whenever that to the receiver breaks; or does not run, as before
/// the machine has a network.
fn is_end(error: &anyhow::Error) -> bool {
    let error = error.downcast_ref::<io::Error>().map(io::Error::kind);
    matches!(
        error,
        Some(
            ErrorKind::BrokenPipe
                | ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::NotFound
        )
    )
}

/// Passes output on until `forward` or dockerd ends.
fn pass_on(engine: &Engine, receiver: &str) -> Result<()> {
    let receiver = UnixStream::connect(receiver).with_context(|| receiver.to_owned())?;
    let mut line = String::new();
    // Comes once `forward` has a connection to the receiver; nothing follows it.
    if BufReader::new(&receiver).read_line(&mut line)? == 0 {
        return Ok(());
    }
    let marks: BTreeMap<String, Mark> = serde_json::from_str(&line).context("marks")?;
    Pass::begin(engine, receiver, marks)?.run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixListener;
    use std::thread;

    #[test]
    fn forward_may_come_and_go() {
        let engine = Engine::new("/nowhere/docker.sock");
        let name = format!("tare-forward-{}.sock", std::process::id());
        let path = std::env::temp_dir().join(name);
        let path = path.to_str().unwrap();
        // It has not listened yet.
        assert!(is_end(&pass_on(&engine, path).unwrap_err()));
        let listener = UnixListener::bind(path).unwrap();
        thread::scope(|scope| {
            // It ends before it has a connection to the receiver.
            scope.spawn(|| drop(listener.accept().unwrap()));
            pass_on(&engine, path).unwrap();
            // It is there, but the engine is not.
            scope.spawn(|| listener.accept().unwrap().0.write_all(b"{}\n").unwrap());
            let error = pass_on(&engine, path).unwrap_err();
            assert!(!is_end(&error), "{error:#}");
        });
        drop(listener);
        assert!(is_end(&pass_on(&engine, path).unwrap_err()));
        std::fs::remove_file(path).unwrap();
    }
}
