//! The part of HTTP/1.1 that a scrape needs (RFC 9112): a request without a body, a response, the end.

use std::fmt::Display;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// The timeout for a request, and for its response.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest request, in bytes, and its maximum number of lines.
const MAX_REQUEST: u64 = 8 << 10;
const MAX_LINES: usize = 100;

/// Prometheus's text format, version 0.0.4.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";

/// A response: status line, type, body.
#[derive(Debug, PartialEq, Eq)]
struct Answer(&'static str, &'static str, String);

/// Answers one request on `stream`; `page` produces the page.
///
/// # Errors
/// If the peer is gone or takes too long.
pub(crate) fn answer<E: Display>(
    stream: TcpStream,
    page: impl FnOnce() -> Result<String, E>,
) -> io::Result<()> {
    answer_within(PATIENCE, stream, page)
}

fn answer_within<E: Display>(
    patience: Duration,
    stream: TcpStream,
    page: impl FnOnce() -> Result<String, E>,
) -> io::Result<()> {
    let request = read_request(&mut BufReader::new(Timed::new(&stream, patience)))?;
    let Answer(status, kind, body) = respond(&request, page);
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = Timed::new(&stream, patience);
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// A connection with a deadline. The socket's own timeouts restart with each byte, so a peer could stay connected for
/// hours.
struct Timed<'a> {
    stream: &'a TcpStream,
    deadline: Instant,
}

impl<'a> Timed<'a> {
    fn new(stream: &'a TcpStream, patience: Duration) -> Self {
        let deadline = Instant::now() + patience;
        Self { stream, deadline }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.deadline.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Timed<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        self.stream.read(bytes)
    }
}

impl Write for Timed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The first line; the rest up to the empty line is read and ignored.
fn read_request(stream: &mut impl BufRead) -> io::Result<String> {
    let mut lines = stream.take(MAX_REQUEST).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    for line in lines.by_ref().take(MAX_LINES) {
        if line?.is_empty() {
            return Ok(first);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

fn respond<E: Display>(request: &str, page: impl FnOnce() -> Result<String, E>) -> Answer {
    let words: Vec<&str> = request.split(' ').collect();
    match words[..] {
        ["GET", target, "HTTP/1.0" | "HTTP/1.1"] if path(target) == "/metrics" => match page() {
            Ok(text) => Answer("200 OK", METRICS, text),
            Err(error) => Answer("503 Service Unavailable", TEXT, format!("{error}\n")),
        },
        ["GET", _, "HTTP/1.0" | "HTTP/1.1"] => Answer(
            "404 Not Found",
            TEXT,
            "metrics are at /metrics\n".to_owned(),
        ),
        [_, _, "HTTP/1.0" | "HTTP/1.1"] => {
            Answer("405 Method Not Allowed", TEXT, "only GET\n".to_owned())
        }
        _ => Answer("400 Bad Request", TEXT, "not HTTP/1.1\n".to_owned()),
    }
}

fn path(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn requests_and_their_answers() {
        let good = || Ok::<_, String>("x 1\n".to_owned());
        let metrics = || Answer("200 OK", METRICS, "x 1\n".to_owned());
        let text = |status, text: &str| Answer(status, TEXT, text.to_owned());
        let bad = || text("400 Bad Request", "not HTTP/1.1\n");
        for (request, want) in [
            ("GET /metrics HTTP/1.1", metrics()),
            ("GET /metrics?name[]=x HTTP/1.0", metrics()),
            (
                "GET / HTTP/1.1",
                text("404 Not Found", "metrics are at /metrics\n"),
            ),
            (
                "POST /metrics HTTP/1.1",
                text("405 Method Not Allowed", "only GET\n"),
            ),
            ("GET /metrics", bad()),
            ("GET /metrics HTTP/2", bad()),
            ("", bad()),
        ] {
            assert_eq!(respond(request, good), want, "{request}");
        }
        let failing = || Err::<String, _>("no answer");
        let want = text("503 Service Unavailable", "no answer\n");
        assert_eq!(respond("GET /metrics HTTP/1.1", failing), want);
    }

    #[test]
    fn a_request_ends_with_an_empty_line_and_in_time() {
        let read = |request: &str| {
            read_request(&mut Cursor::new(request.as_bytes())).map_err(|error| error.kind())
        };
        let invalid = Err(io::ErrorKind::InvalidData);
        assert_eq!(
            read("GET / HTTP/1.1\r\nHost: x\r\n\r\nrest"),
            Ok("GET / HTTP/1.1".to_owned())
        );
        assert_eq!(read("GET / HTTP/1.1\r\nHost: x"), invalid);
        assert_eq!(read(&"x".repeat(10_000)), invalid);
        assert_eq!(read(&"x\r\n".repeat(200)), invalid);
        assert_eq!(read(""), invalid);
    }

    #[test]
    fn a_request_has_one_deadline_however_slowly_it_comes() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (stream, _) = listener.accept().unwrap();
        let page = || Ok::<_, String>("x 1\n".to_owned());
        let server = thread::spawn(move || answer_within(Duration::from_millis(200), stream, page));
        while !server.is_finished() {
            // The server may have hung up.
            let _ = client.write_all(b"x");
            thread::sleep(Duration::from_millis(20));
        }
        let kind = server.join().unwrap().unwrap_err().kind();
        // A read whose timeout is the deadline itself returns the first one.
        let late = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        assert!(late.contains(&kind), "{kind}");
    }
}
