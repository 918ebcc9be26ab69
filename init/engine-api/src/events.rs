//! What happens to containers: a line of JSON for each event.

use crate::EngineError;
use crate::answer::{Head, message};
use memchr::memchr;
use serde::Deserialize;
use std::collections::HashMap;
use std::io;

/// What happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Such as `start`.
    pub action: String,
    /// The container's: 64 digits.
    pub id: String,
    /// The container's, afterwards.
    pub name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    action: String,
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "Attributes")]
    attributes: HashMap<String, String>,
}

/// Splits an answer into events as it arrives.
#[derive(Debug, Default)]
pub struct Events {
    bytes: Vec<u8>,
    head: Option<Head>,
}

impl Events {
    /// Adds what has arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next event; `None` if it has not arrived whole.
    ///
    /// # Errors
    /// The engine refused, or the answer is not what it sends.
    pub fn next_event(&mut self) -> Result<Option<Event>, EngineError> {
        if self.head.is_none() {
            let Some((head, length)) = Head::parse(&self.bytes)? else {
                return Ok(None);
            };
            self.bytes.drain(..length);
            self.head = Some(head);
        }
        let Some(end) = memchr(b'\n', &self.bytes) else {
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        match self.head {
            Some(head) if head.status != 200 => Err(EngineError::Refused {
                status: head.status,
                message: message(&line),
            }),
            _ => Ok(Some(event(&line)?)),
        }
    }
}

fn event(line: &[u8]) -> io::Result<Event> {
    let Raw { action, actor } = serde_json::from_slice(line)?;
    let mut attributes = actor.attributes;
    Ok(Event {
        action,
        id: actor.id,
        name: attributes.remove("name").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_arrive_in_parts() {
        let answer = "HTTP/1.0 200 OK\r\n\r\n\
            {\"status\":\"start\",\"id\":\"4f\",\"Type\":\"container\",\"Action\":\"start\",\"Actor\":{\"ID\":\"4f\",\
            \"Attributes\":{\"image\":\"demo\",\"name\":\"web\"}},\"scope\":\"local\",\"timeNano\":1}\n\
            {\"Action\":\"destroy\",\"Actor\":{\"ID\":\"4f\",\"Attributes\":{}}}\n";
        for size in [1, 30, answer.len()] {
            let (mut events, mut found) = (Events::default(), Vec::new());
            for part in answer.as_bytes().chunks(size) {
                events.push(part);
                while let Some(event) = events.next_event().unwrap() {
                    found.push([event.action, event.id, event.name]);
                }
            }
            assert_eq!(found, [["start", "4f", "web"], ["destroy", "4f", ""]]);
        }
    }

    #[test]
    fn a_refusal() {
        let mut events = Events::default();
        events.push(b"HTTP/1.0 400 Bad Request\r\n\r\n{\"message\":\"no\"}\n");
        let error = events.next_event().unwrap_err().to_string();
        assert_eq!(error, "the engine answers 400: no");
    }
}
