//! A client outside the machine that polls continuously.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(100);

/// The results of the requests.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) good: u32,
    /// Failed requests, each with the time since the first request.
    pub(crate) bad: Vec<String>,
    pub(crate) slowest: Duration,
}

/// Requests the page behind `port` of this host until `work` is done. A response may take `patience`.
pub(crate) fn while_doing<T>(
    port: u16,
    patience: Duration,
    work: impl FnOnce() -> T,
) -> (T, Answers) {
    let done = AtomicBool::new(false);
    scope(|scope| {
        let answers = scope.spawn(|| ask_until(&done, port, patience));
        let result = work();
        done.store(true, Ordering::Relaxed);
        (result, answers.join().unwrap_or_default())
    })
}

fn ask_until(done: &AtomicBool, port: u16, patience: Duration) -> Answers {
    let mut answers = Answers::default();
    let start = Instant::now();
    while !done.load(Ordering::Relaxed) {
        let asked = Instant::now();
        match ask(port, patience) {
            Ok(()) => answers.good += 1,
            Err(error) => {
                let at = (asked - start).as_secs_f64();
                answers.bad.push(format!("{at:.1} s: {error}"));
            }
        }
        answers.slowest = answers.slowest.max(asked.elapsed());
        sleep(PAUSE.saturating_sub(asked.elapsed()));
    }
    answers
}

fn ask(port: u16, patience: Duration) -> io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.contains(" 200 ") && answer.contains("Tare") {
        true => Ok(()),
        false => Err(io::Error::other(format!("it says {answer:?}"))),
    }
}
