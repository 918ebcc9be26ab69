//! Asking services whether they answer.

use super::event::Event;
use super::state;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;
use tare_config::service::{Health, HttpTarget, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The first wait between two tries, and the longest.
///
/// The kernel tells nobody that a socket began to listen; a refused try on the same machine costs
/// microseconds.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_millis(500);
/// The same where each try is a process.
const LEAST_OF_PROCESSES: Duration = Duration::from_millis(250);
const MOST_OF_PROCESSES: Duration = Duration::from_secs(2);

/// How long one try to find a service ready may take.
const TRY: Duration = Duration::from_secs(5);

/// All that is read of an answer: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// Whom to ask, and whom to tell.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) service: String,
    pub(super) run: u64,
    /// A process in the container.
    pub(super) pid: i32,
    pub(super) events: UnboundedSender<Event>,
}

impl Asker {
    /// Asks until the service answers, and tells that it is ready.
    pub(super) async fn until_ready(self, probe: Probe) {
        let process = matches!(probe, Probe::Exec(_));
        let (mut wait, most) = match process {
            true => (LEAST_OF_PROCESSES, MOST_OF_PROCESSES),
            false => (LEAST, MOST),
        };
        while !self.ask(&probe, TRY).await {
            sleep(wait).await;
            wait = (wait * 2).min(most);
        }
        self.tell(state::Event::BecameReady);
    }

    /// Asks for as long as the service is up, and tells every answer.
    pub(super) async fn for_ever(self, health: Health) {
        loop {
            sleep(health.interval.0).await;
            let well = self.ask(&health.probe, health.timeout.0).await;
            self.tell(state::Event::Checked { well });
        }
    }

    fn tell(&self, what: state::Event) {
        let _ = self.events.send(Event::Happened {
            service: self.service.clone(),
            run: self.run,
            what,
        });
    }

    async fn ask(&self, probe: &Probe, limit: Duration) -> bool {
        let answer = match probe {
            Probe::Tcp(port) => timeout(limit, takes_tcp(*port)).await,
            Probe::Unix(path) => timeout(limit, self.takes_unix(path)).await,
            Probe::Http(target) => timeout(limit, answers_http(target)).await,
            Probe::Exec(args) => timeout(limit, self.ends_well(args)).await,
        };
        if answer.is_err() && matches!(probe, Probe::Exec(_)) {
            let _ = self.events.send(Event::ProbeLate);
        }
        answer.unwrap_or(false)
    }

    async fn takes_unix(&self, path: &str) -> bool {
        let path = format!("/proc/{}/root{path}", self.pid);
        UnixStream::connect(path).await.is_ok()
    }

    async fn ends_well(&self, args: &[String]) -> bool {
        let (done, ended) = oneshot::channel();
        let _ = self.events.send(Event::Probe {
            service: self.service.clone(),
            run: self.run,
            args: args.to_vec(),
            done,
        });
        matches!(ended.await, Ok(Ok(outcome)) if outcome.is_success())
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

async fn takes_tcp(port: u16) -> bool {
    TcpStream::connect(loopback(port)).await.is_ok()
}

async fn answers_http(target: &HttpTarget) -> bool {
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: tare\r\nConnection: close\r\n\r\n",
        target.path
    );
    let mut status = [0; STATUS_LINE];
    let exchange = async {
        let mut stream = TcpStream::connect(loopback(target.port)).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_exact(&mut status).await
    };
    exchange.await.is_ok() && is_good_status(&status)
}

/// 200 to 399 (RFC 9110, section 15).
fn is_good_status(line: &[u8; STATUS_LINE]) -> bool {
    matches!(line, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2' | b'3', a, b]
        if a.is_ascii_digit() && b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_statuses() {
        for (line, want) in [
            (b"HTTP/1.1 200", true),
            (b"HTTP/1.0 204", true),
            (b"HTTP/1.1 301", true),
            (b"HTTP/1.1 404", false),
            (b"HTTP/1.1 500", false),
            (b"HTTP/1.1 100", false),
            (b"HTTP/1.1 2xx", false),
            (b"SSH-2.0-Open", false),
        ] {
            assert_eq!(is_good_status(line), want, "{:?}", line.escape_ascii());
        }
    }
}
