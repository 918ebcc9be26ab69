//! What a service waits for before it starts.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Something that becomes true while a machine runs, written `SUBJECT:STATE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Condition {
    /// `network:online`: a default route is set, or none will come.
    NetworkOnline,
    /// `state:mounted`: the state partition, or memory in its place, is mounted.
    StateMounted,
    /// `time:synced`: the kernel's clock follows a time source.
    TimeSynced,
    /// `path:/ABSOLUTE`: this path exists on the host.
    Path(String),
    /// `NAME:ready`: that daemon is ready.
    Ready(String),
    /// `NAME:done`: that oneshot or periodic service has succeeded.
    Done(String),
}

impl Condition {
    /// The service that the condition refers to, if any.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        match self {
            Self::Ready(name) | Self::Done(name) => Some(name),
            Self::NetworkOnline | Self::StateMounted | Self::TimeSynced | Self::Path(_) => None,
        }
    }

    /// The name of the service, if it exists, without which the condition may never hold. That service must not wait
    /// for it.
    #[must_use]
    pub fn needs(&self) -> Option<&str> {
        match self {
            Self::TimeSynced => Some("time"),
            other => other.subject(),
        }
    }
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("network", "online")) => Ok(Self::NetworkOnline),
            Some(("state", "mounted")) => Ok(Self::StateMounted),
            Some(("time", "synced")) => Ok(Self::TimeSynced),
            Some(("path", path)) => super::mount::absolute(path.to_owned()).map(Self::Path),
            Some((name, "ready")) if !name.is_empty() => Ok(Self::Ready(name.to_owned())),
            Some((name, "done")) if !name.is_empty() => Ok(Self::Done(name.to_owned())),
            _ => Err(format!(
                "`{text}` is not a condition: write `network:online`, `state:mounted`, `time:synced`, \
                 `path:/ABSOLUTE`, `NAME:ready` or `NAME:done`"
            )),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkOnline => f.write_str("network:online"),
            Self::StateMounted => f.write_str("state:mounted"),
            Self::TimeSynced => f.write_str("time:synced"),
            Self::Path(path) => write!(f, "path:{path}"),
            Self::Ready(name) => write!(f, "{name}:ready"),
            Self::Done(name) => write!(f, "{name}:done"),
        }
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.to_string()
    }
}
