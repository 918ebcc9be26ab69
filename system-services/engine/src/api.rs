//! The engine's API over its socket: two requests, each of which would otherwise cost a start of
//! the `docker` command.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

/// The oldest API version that has what is used here and that current engines still accept.
const VERSION: &str = "v1.40";

/// An engine behind a socket.
pub(crate) struct Engine {
    socket: PathBuf,
}

/// A response: HTTP status and body.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    body: String,
}

impl Engine {
    pub(crate) fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Whether the engine has the image of this name: an id, or a tag.
    pub(crate) fn has_image(&self, name: &str) -> Result<bool> {
        let answer = self.request("GET", &format!("images/{name}/json"), None)?;
        match answer.status {
            200 => Ok(true),
            404 => Ok(false),
            status => bail!("the engine answers {status}: {}", answer.body.trim()),
        }
    }

    /// Loads an archive in the format of `docker save` into the engine.
    pub(crate) fn load(&self, archive: &File) -> Result<()> {
        let answer = self.request("POST", "images/load?quiet=1", Some(archive))?;
        let body = answer.body.trim();
        ensure!(
            answer.status == 200,
            "the engine answers {}: {body}",
            answer.status
        );
        // An error after the first bytes is reported in the body of a 200.
        match body.lines().find(|line| line.contains("\"errorDetail\"")) {
            Some(line) => bail!("the engine: {line}"),
            None => Ok(()),
        }
    }

    fn request(&self, method: &str, path: &str, body: Option<&File>) -> Result<Answer> {
        let answer = self.exchange(method, path, body);
        answer.with_context(|| format!("{method} {path} to {}", self.socket.display()))
    }

    /// HTTP/1.0, so that the response ends with the connection and is not chunked.
    fn exchange(&self, method: &str, path: &str, body: Option<&File>) -> Result<Answer> {
        let mut stream = UnixStream::connect(&self.socket)?;
        let length = body.map_or(Ok(0), |file| file.metadata().map(|meta| meta.len()))?;
        write!(
            stream,
            "{method} /{VERSION}/{path} HTTP/1.0\r\nHost: engine\r\n\
             Content-Type: application/x-tar\r\nContent-Length: {length}\r\n\r\n"
        )?;
        if let Some(mut body) = body {
            io::copy(&mut body, &mut stream)?;
        }
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        parse(&String::from_utf8_lossy(&answer))
    }
}

fn parse(answer: &str) -> Result<Answer> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    Ok(Answer {
        status: status.with_context(|| format!("no HTTP: {:?}", head.lines().next()))?,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        for (text, want) in [
            (
                "HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}",
                Ok(Answer {
                    status: 200,
                    body: "{}".to_owned(),
                }),
            ),
            (
                "HTTP/1.1 404 Not Found\r\n\r\n",
                Ok(Answer {
                    status: 404,
                    body: String::new(),
                }),
            ),
            ("", Err("no HTTP: None")),
            ("hello", Err("no HTTP: Some(\"hello\")")),
        ] {
            let found = parse(text).map_err(|error| error.to_string());
            assert_eq!(found, want.map_err(str::to_owned), "{text:?}");
        }
    }
}
