//! Probes of services.

use super::children::Outcome;
use super::state;
use crate::event::{Event, UnitEvent};
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::sys::stat::Mode;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd;
use std::time::Duration;
use tare_config::service::{Health, HttpTarget, Probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

/// The first and the longest wait between two tries.
///
/// The kernel does not report that a socket began to listen; a refused try on the same machine costs microseconds.
const LEAST: Duration = Duration::from_millis(10);
const MOST: Duration = Duration::from_millis(500);
/// The same if each try is a process.
const LEAST_OF_PROCESSES: Duration = Duration::from_millis(250);
const MOST_OF_PROCESSES: Duration = Duration::from_secs(2);

/// How long one try to find a service ready may take.
const TRY: Duration = Duration::from_secs(5);

/// The part of an answer that is read: `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

/// What to probe, and where to send the result.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) service: String,
    pub(super) run: u64,
    /// A process in the container.
    pub(super) pid: i32,
    pub(super) events: UnboundedSender<Event>,
}

impl Asker {
    /// Probes until the service answers, and reports that.
    pub(super) async fn until_ready(self, probe: Probe) {
        let process = matches!(probe, Probe::Exec(_));
        let (mut wait, most) = match process {
            true => (LEAST_OF_PROCESSES, MOST_OF_PROCESSES),
            false => (LEAST, MOST),
        };
        while self.ask(&probe, TRY).await != Some(true) {
            sleep(wait).await;
            wait = (wait * 2).min(most);
        }
        self.tell(state::Event::Answers);
    }

    /// Probes for as long as the service is up, and reports every result.
    pub(super) async fn for_ever(self, health: Health) {
        loop {
            sleep(health.interval.0).await;
            if let Some(well) = self.ask(&health.probe, health.timeout.0).await {
                self.tell(state::Event::Checked { well });
            }
        }
    }

    fn tell(&self, what: state::Event) {
        let _ = self.events.send(
            UnitEvent::Happened {
                service: self.service.clone(),
                run: self.run,
                what,
            }
            .into(),
        );
    }

    /// Whether it answers well; `None` if PID 1 lacked the resources to ask.
    async fn ask(&self, probe: &Probe, limit: Duration) -> Option<bool> {
        let answer = match probe {
            Probe::Tcp(port) => timeout(limit, takes_tcp(*port)).await,
            Probe::Unix(path) => timeout(limit, self.takes_unix(path)).await,
            Probe::Http(target) => timeout(limit, answers_http(target)).await,
            Probe::Exec(args) => timeout(limit, self.ends_well(args)).await,
        };
        if answer.is_err() && matches!(probe, Probe::Exec(_)) {
            let _ = self.events.send(UnitEvent::ProbeLate.into());
        }
        answer.unwrap_or(Some(false))
    }

    async fn takes_unix(&self, path: &str) -> Option<bool> {
        let root = format!("/proc/{}/root", self.pid);
        answer(connect_in(&root, path).await.map(|_| true))
    }

    async fn ends_well(&self, args: &[String]) -> Option<bool> {
        let (done, ended) = oneshot::channel();
        let _ = self.events.send(
            UnitEvent::Probe {
                service: self.service.clone(),
                run: self.run,
                args: args.to_vec(),
                done,
            }
            .into(),
        );
        let ended = ended.await.ok()?;
        Some(ended.is_ok_and(Outcome::is_success))
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A refusal is an answer of the service; a lack of descriptors or memory in this process is not.
fn answer(asked: io::Result<bool>) -> Option<bool> {
    let lacks = |error: &io::Error| {
        use nix::libc::{EMFILE, ENFILE, ENOBUFS, ENOMEM};
        matches!(
            error.raw_os_error(),
            Some(EMFILE | ENFILE | ENOBUFS | ENOMEM)
        )
    };
    match asked {
        Err(error) if lacks(&error) => None,
        asked => Some(asked.unwrap_or(false)),
    }
}

/// Connects to the socket `path` of the rootfs `root`, out of which no symbolic link leads. Uses its descriptor,
/// because an address is limited to 107 bytes (unix(7)).
async fn connect_in(root: &str, path: &str) -> io::Result<UnixStream> {
    let found = OFlag::O_PATH | OFlag::O_CLOEXEC;
    let root = open(root, found, Mode::empty())?;
    let how = OpenHow::new().flags(found);
    let socket = openat2(&root, path, how.resolve(ResolveFlag::RESOLVE_IN_ROOT))?;
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await
}

async fn takes_tcp(port: u16) -> Option<bool> {
    answer(TcpStream::connect(loopback(port)).await.map(|_| true))
}

async fn answers_http(target: &HttpTarget) -> Option<bool> {
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
    let read = exchange.await;
    answer(read.map(|_| is_good_status(&status)))
}

/// 200 to 399 (RFC 9110, section 15).
fn is_good_status(line: &[u8; STATUS_LINE]) -> bool {
    matches!(line, [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', b'2' | b'3', a, b]
        if a.is_ascii_digit() && b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;
    use tokio::net::UnixListener;

    #[test]
    fn what_pid_1_lacks_is_no_answer() {
        let failed = |errno| Err(io::Error::from_raw_os_error(errno));
        for (asked, want) in [
            (Ok(true), Some(true)),
            (Ok(false), Some(false)),
            (failed(nix::libc::ECONNREFUSED), Some(false)),
            (failed(nix::libc::EMFILE), None),
            (failed(nix::libc::ENOMEM), None),
        ] {
            assert_eq!(answer(asked), want);
        }
    }

    #[tokio::test]
    async fn a_socket_is_looked_for_in_its_root_filesystem() {
        let root = std::env::temp_dir().join(format!("tare-probe-{}", std::process::id()));
        let long = format!("/run/{}", "x".repeat(200));
        fs::create_dir_all(root.join("run")).unwrap();
        symlink("/run", root.join("var")).unwrap();
        symlink("../../../run", root.join("up")).unwrap();
        let _listener = UnixListener::bind(root.join("run/s")).unwrap();
        fs::hard_link(root.join("run/s"), root.join(&long[1..])).unwrap();
        for (path, want) in [
            ("/run/s", Some(true)),
            ("/var/s", Some(true)),
            ("/up/s", Some(true)),
            (&*long, Some(true)),
            ("/run/none", Some(false)),
            ("/run", Some(false)),
        ] {
            let asked = connect_in(root.to_str().unwrap(), path).await;
            assert_eq!(answer(asked.map(|_| true)), want, "{path}");
        }
        fs::remove_dir_all(&root).unwrap();
    }

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
