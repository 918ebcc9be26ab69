//! The client. A command waits for one reply at a time, so it may block.

use crate::{Failure, Method};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::io::{self, BufRead, BufReader, IoSlice, Read, Write};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use thiserror::Error;

/// How long one reply may take. PID 1 replies in milliseconds, later on a machine under load.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest reply accepted, in bytes. A thousand services take half a megabyte.
const MAX_REPLY: u64 = 16 << 20;

/// Why a call has no result.
#[derive(Debug, Error)]
pub enum CallError {
    /// The socket does not exist or does not accept connections.
    #[error("connect to {path}: {source}")]
    Connect {
        /// Where the socket should be.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The connection broke.
    #[error("talk to PID 1: {0}")]
    Talk(#[from] io::Error),
    /// The reply is not valid.
    #[error("invalid reply from PID 1: {0}")]
    Nonsense(#[from] serde_json::Error),
    /// The call was refused.
    #[error(transparent)]
    Refused(#[from] Failure),
    /// The call was refused for a reason that is not known here.
    #[error("PID 1 refuses: {0}")]
    Unknown(String),
}

/// A connection to PID 1.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

#[derive(Serialize)]
struct Outgoing<'a> {
    #[serde(flatten)]
    method: &'a Method,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    more: bool,
}

#[derive(Deserialize)]
struct Incoming {
    #[serde(default)]
    parameters: Value,
    #[serde(default)]
    continues: bool,
    error: Option<String>,
}

impl Client {
    /// Connects to the socket at `path`.
    ///
    /// # Errors
    /// [`CallError::Connect`].
    pub fn connect(path: &Path) -> Result<Self, CallError> {
        let connected = UnixStream::connect(path).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            Ok(Self(BufReader::new(stream)))
        });
        connected.map_err(|source| CallError::Connect {
            path: path.to_owned(),
            source,
        })
    }

    /// Calls `method` and waits for its reply.
    ///
    /// # Errors
    /// Every one except [`CallError::Connect`].
    pub fn call<T: DeserializeOwned>(&mut self, method: &Method) -> Result<T, CallError> {
        self.send(method, false)?;
        Ok(serde_json::from_value(self.receive()?.parameters)?)
    }

    /// Calls `method` with `more`. The iterator over its replies waits for each without a time limit.
    ///
    /// # Errors
    /// Every one except [`CallError::Connect`].
    pub fn call_more<T: DeserializeOwned>(
        mut self,
        method: &Method,
    ) -> Result<Replies<T>, CallError> {
        self.send(method, true)?;
        self.0.get_ref().set_read_timeout(None)?;
        Ok(Replies {
            client: Some(self),
            of: PhantomData,
        })
    }

    /// Calls `method` with three descriptors. [`reply`](Self::reply) waits for its reply.
    ///
    /// # Errors
    /// [`CallError::Talk`].
    pub fn send_with(
        &mut self,
        method: &Method,
        descriptors: [BorrowedFd<'_>; 3],
    ) -> Result<(), CallError> {
        let message = message(method, false)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let stream = self.0.get_mut();
        let slices = [IoSlice::new(&message)];
        let sent = sendmsg(&*stream, &slices, &mut ancillary, SendFlags::NOSIGNAL);
        stream.write_all(&message[sent.map_err(io::Error::from)?..])?;
        Ok(())
    }

    /// Waits for the reply to [`send_with`](Self::send_with), however long that takes. The descriptor of this client
    /// is readable once there is one.
    ///
    /// # Errors
    /// Every one except [`CallError::Connect`].
    pub fn reply<T: DeserializeOwned>(&mut self) -> Result<T, CallError> {
        self.0.get_ref().set_read_timeout(None)?;
        Ok(serde_json::from_value(self.receive()?.parameters)?)
    }

    fn send(&mut self, method: &Method, more: bool) -> Result<(), CallError> {
        Ok(self.0.get_mut().write_all(&message(method, more)?)?)
    }

    fn receive(&mut self) -> Result<Incoming, CallError> {
        let mut message = Vec::new();
        (&mut self.0).take(MAX_REPLY).read_until(0, &mut message)?;
        if message.pop() != Some(0) {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let incoming: Incoming = serde_json::from_slice(&message)?;
        match incoming.error {
            None => Ok(incoming),
            Some(error) => Err(refusal(error, incoming.parameters)),
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

fn message(method: &Method, more: bool) -> Result<Vec<u8>, CallError> {
    let mut message = serde_json::to_vec(&Outgoing { method, more })?;
    message.push(0);
    Ok(message)
}

fn refusal(error: String, parameters: Value) -> CallError {
    let parameters = match parameters {
        Value::Null => Value::Object(serde_json::Map::new()),
        other => other,
    };
    let whole = serde_json::json!({ "error": error, "parameters": parameters });
    serde_json::from_value(whole).map_or(CallError::Unknown(error), CallError::Refused)
}

/// The replies to a call with `more`.
#[derive(Debug)]
pub struct Replies<T> {
    /// `None` after the last one.
    client: Option<Client>,
    of: PhantomData<T>,
}

impl<T> Replies<T> {
    /// Limits the wait for the next reply. After that it is an error of kind `WouldBlock` or `TimedOut`.
    ///
    /// # Errors
    /// The system's.
    pub fn wait_at_most(&self, patience: Duration) -> Result<(), CallError> {
        // The standard library refuses a timeout of zero, which would mean none.
        let patience = patience.max(Duration::from_millis(1));
        match &self.client {
            Some(client) => Ok(client.0.get_ref().set_read_timeout(Some(patience))?),
            None => Ok(()),
        }
    }
}

impl<T: DeserializeOwned> Iterator for Replies<T> {
    type Item = Result<T, CallError>;

    fn next(&mut self) -> Option<Self::Item> {
        let received = self.client.as_mut()?.receive();
        if !matches!(&received, Ok(incoming) if incoming.continues) {
            self.client = None;
        }
        Some(received.and_then(|incoming| Ok(serde_json::from_value(incoming.parameters)?)))
    }
}

#[cfg(test)]
mod tests;
