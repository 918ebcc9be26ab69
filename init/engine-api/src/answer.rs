//! An HTTP response.

use memchr::memmem;
use serde::Deserialize;
use std::io;

/// How long a response's head may be, in bytes; the engine's are a few hundred.
const LONGEST_HEAD: usize = 16 << 10;

/// A whole response: HTTP status and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// What matters of a response's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Whether output of a container is in frames, which say what stream it is from.
    pub(crate) is_framed: bool,
}

impl Answer {
    /// Parses all that a connection had.
    ///
    /// # Errors
    /// It is not HTTP.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Self> {
        let (head, length) = Head::parse(bytes)?.ok_or_else(|| not_http(bytes))?;
        Ok(Self {
            status: head.status,
            body: String::from_utf8_lossy(&bytes[length..]).into_owned(),
        })
    }
}

impl Head {
    /// Parses the head at the beginning of `bytes`, with its length; `None` if it is not complete.
    ///
    /// # Errors
    /// It is not HTTP.
    pub(crate) fn parse(bytes: &[u8]) -> io::Result<Option<(Self, usize)>> {
        let Some(end) = memmem::find(bytes, b"\r\n\r\n") else {
            return match bytes.len() > LONGEST_HEAD {
                true => Err(not_http(bytes)),
                false => Ok(None),
            };
        };
        let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = text.strip_prefix("http/").and_then(|rest| {
            let status = rest.split(' ').nth(1)?;
            status.get(..3)?.parse().ok()
        });
        let head = Self {
            status: status.ok_or_else(|| not_http(bytes))?,
            is_framed: text.contains("docker.multiplexed-stream"),
        };
        Ok(Some((head, end + 4)))
    }
}

fn not_http(bytes: &[u8]) -> io::Error {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]);
    let error = format!("no HTTP: {:?}", text.lines().next());
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// What a refusal says: `{"message": "…"}`.
pub(crate) fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal = serde_json::from_slice(body).map(|refusal: Refusal| refusal.message);
    refusal.unwrap_or_else(|_| String::from_utf8_lossy(body).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers() {
        for (text, want) in [
            ("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{}", Ok((200, "{}"))),
            ("HTTP/1.1 404 Not Found\r\n\r\n", Ok((404, ""))),
            ("", Err("no HTTP: None")),
            ("hello", Err("no HTTP: Some(\"hello\")")),
            ("hello 200\r\n\r\n", Err("no HTTP: Some(\"hello 200\")")),
        ] {
            let found = Answer::parse(text.as_bytes()).map_err(|error| error.to_string());
            let want = want.map(|(status, body)| Answer {
                status,
                body: body.to_owned(),
            });
            assert_eq!(found, want.map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn refusals() {
        for (body, want) in [
            (
                "{\"message\":\"No such container: a\"}\n",
                "No such container: a",
            ),
            ("page not found\n", "page not found"),
        ] {
            assert_eq!(message(body.as_bytes()), want);
        }
    }
}
