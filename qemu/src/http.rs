//! Just enough HTTP to fetch a demo app's page.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// An HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// Such as 200.
    pub status: u16,
    /// As text.
    pub body: String,
}

/// GETs `path` from `port` of the host's loopback.
///
/// # Errors
/// There is no answer, it is not HTTP, or `patience` passes between two packets.
pub(crate) fn get(port: u16, path: &str, patience: Duration) -> Result<Response> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    // 1.0: the body ends with the connection, in one piece.
    write!(stream, "GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    parse(&answer).with_context(|| format!("no HTTP response: {answer:?}"))
}

fn parse(answer: &str) -> Option<Response> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head
        .strip_prefix("HTTP/")?
        .split(' ')
        .nth(1)?
        .parse()
        .ok()?;
    Some(Response {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses() {
        let response = |status, body: &str| {
            Some(Response {
                status,
                body: body.to_owned(),
            })
        };
        for (answer, want) in [
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n\r\nhello\r\n\r\n",
                response(200, "hello\r\n\r\n"),
            ),
            ("HTTP/1.0 404 Not Found\r\n\r\n", response(404, "")),
            ("SSH-2.0-x\r\n\r\n", None),
            ("", None),
        ] {
            assert_eq!(parse(answer), want);
        }
    }
}
