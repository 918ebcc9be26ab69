//! The engine's API over its socket, as far as Tare uses it: requests with short answers, and the output of containers.
//!
//! A whole HTTP client is not needed: requests are HTTP/1.0, so an answer ends with its connection and is not chunked.

#![forbid(unsafe_code)]

mod answer;
mod events;
mod mark;
mod output;

pub use answer::Answer;
pub use events::{Event, Events};
pub use mark::{Mark, Resumed};
pub use output::{Line, Output, Stream};

use answer::message;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use thiserror::Error;

/// Where PID 1 listens for the engine, in services that share its folder.
pub const SOCKET: &str = "/run/engine/docker.sock";
/// The oldest version that says in its answer how output is encoded. Docker 23 and later accept it.
const VERSION: &str = "v1.42";

/// An engine behind a socket.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
}

/// Why the engine has not done what was requested.
#[derive(Debug, Error)]
pub enum EngineError {
    /// It does not listen, or this process may not connect.
    #[error("connect to {}: {source}", socket.display())]
    Connect {
        /// Where it should listen.
        socket: PathBuf,
        /// Why it cannot be reached.
        source: io::Error,
    },
    /// The connection broke, or the answer is not HTTP.
    #[error("talk to the engine: {0}")]
    Talk(#[from] io::Error),
    /// It refused.
    #[error("the engine answers {status}: {message}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// In its words.
        message: String,
    },
}

/// What a request sends: an archive (tar(5)).
pub struct Body {
    /// In bytes.
    pub length: u64,
    /// As many.
    pub bytes: Box<dyn Read>,
}

/// What matters here of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// 64 digits.
    pub id: String,
    /// Unique among the containers that exist.
    pub name: String,
    /// The log driver that keeps or sends its output.
    pub log_driver: String,
}

/// A container, as listed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Listed {
    /// 64 digits.
    pub id: String,
    /// `created`, `running`, `paused`, `restarting`, `exited`, …
    pub state: String,
}

/// `GET /containers/ID/json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    host_config: HostConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    log_config: LogConfig,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct LogConfig {
    r#type: String,
}

/// Which output of a container.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wanted {
    /// Whether the answer goes on with what the container writes from now on, until it ends.
    pub follow: bool,
    /// Not before this time.
    pub since: Option<Mark>,
    /// Only this many lines before what follows.
    pub last: Option<usize>,
}

impl Engine {
    /// The engine behind `socket`.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self {
            socket: socket.into(),
        }
    }

    /// Sends a request for `path`, which begins after the version. The connection has the answer.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub fn send(&self, method: &str, path: &str) -> Result<UnixStream, EngineError> {
        self.begin(method, path, 0)
    }

    /// Sends a request with `body`, and reads the whole answer.
    ///
    /// # Errors
    /// The engine cannot be reached, or does not speak HTTP.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        body: Option<Body>,
    ) -> Result<Answer, EngineError> {
        let length = body.as_ref().map_or(0, |body| body.length);
        let mut stream = self.begin(method, path, length)?;
        let sent = match body {
            Some(mut body) => io::copy(&mut body.bytes, &mut stream),
            None => Ok(0),
        };
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        // An engine that refuses a body answers, and closes the connection before it has read all.
        if answer.is_empty() {
            sent.and(read)?;
        }
        Ok(Answer::parse(&answer)?)
    }

    fn begin(&self, method: &str, path: &str, length: u64) -> Result<UnixStream, EngineError> {
        let connected = UnixStream::connect(&self.socket);
        let mut stream = connected.map_err(|source| EngineError::Connect {
            socket: self.socket.clone(),
            source,
        })?;
        let head = format!(
            "{method} /{VERSION}/{path} HTTP/1.0\r\nHost: engine\r\n\
             Content-Type: application/x-tar\r\nContent-Length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        Ok(stream)
    }

    /// The container of this name, id or beginning of an id.
    ///
    /// # Errors
    /// The engine refuses with the status 404 if there is none.
    pub fn container(&self, name: &str) -> Result<Container, EngineError> {
        let mut answer = Vec::new();
        self.inspect(name)?.read_to_end(&mut answer)?;
        Container::parse(&answer)
    }

    /// Requests what [`Container::parse`] reads.
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub fn inspect(&self, name: &str) -> Result<UnixStream, EngineError> {
        let path = format!("containers/{}/json", escaped(name));
        self.send("GET", &path)
    }

    /// All containers, whether they run or not.
    ///
    /// # Errors
    /// The engine cannot be reached, or refuses.
    pub fn list(&self) -> Result<Vec<Listed>, EngineError> {
        json(&self.request("GET", "containers/json?all=1", None)?)
    }

    /// Requests what happens to containers from now on: the `actions`, such as `start`. What the connection has is for
    /// [`Events`].
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub fn events(&self, actions: &[&str]) -> Result<UnixStream, EngineError> {
        let filters = serde_json::json!({"type": ["container"], "event": actions});
        let path = format!("events?filters={}", escaped(&filters.to_string()));
        self.send("GET", &path)
    }

    /// Requests the output of container `id`; what the connection has is for [`Output`].
    ///
    /// # Errors
    /// The engine cannot be reached.
    pub fn output(&self, id: &str, wanted: &Wanted) -> Result<UnixStream, EngineError> {
        self.send("GET", &wanted.path(id))
    }
}

impl Container {
    /// Reads the whole answer to [`Engine::inspect`].
    ///
    /// # Errors
    /// The engine refuses with the status 404 if there is no such container.
    pub fn parse(answer: &[u8]) -> Result<Self, EngineError> {
        let found: Inspected = json(&Answer::parse(answer)?)?;
        Ok(Self {
            id: found.id,
            name: found.name.trim_start_matches('/').to_owned(),
            log_driver: found.host_config.log_config.r#type,
        })
    }
}

fn json<T: DeserializeOwned>(answer: &Answer) -> Result<T, EngineError> {
    match answer.status {
        200 => Ok(serde_json::from_str(&answer.body).map_err(io::Error::from)?),
        status => Err(EngineError::Refused {
            status,
            message: message(answer.body.as_bytes()),
        }),
    }
}

impl Wanted {
    fn path(&self, id: &str) -> String {
        let id = escaped(id);
        let mut path = format!("containers/{id}/logs?stdout=1&stderr=1&timestamps=1");
        if self.follow {
            path += "&follow=1";
        }
        if let Some(mark) = &self.since {
            path += &format!("&since={}", mark.since());
        }
        if let Some(count) = self.last {
            path += &format!("&tail={count}");
        }
        path
    }
}

/// `text` as one part of a path (RFC 3986, section 2.1).
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(byte.into());
            }
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_in_the_path() {
        let all = "/logs?stdout=1&stderr=1&timestamps=1";
        for (id, follow, since, last, want) in [
            ("web", false, None, None, format!("containers/web{all}")),
            (
                "../a b?c",
                true,
                Some(Mark::at(1_700_000_000_000_000_042)),
                Some(0),
                format!(
                    "containers/..%2Fa%20b%3Fc{all}&follow=1&since=1700000000.000000042&tail=0"
                ),
            ),
        ] {
            let wanted = Wanted {
                follow,
                since,
                last,
            };
            assert_eq!(wanted.path(id), want);
        }
    }
}
