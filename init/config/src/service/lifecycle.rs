//! When a service starts, is ready, restarts and stops.

use crate::Span;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The life of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Lifecycle {
    /// Whether it stays up or ends by itself.
    pub kind: Kind,
    /// Every condition that must hold before it starts.
    pub after: Vec<Condition>,
    /// How it is known to be ready (a daemon) or done (a oneshot, always by its exit).
    pub ready: Ready,
    /// What happens when it ends.
    pub restart: Restart,
    /// Files of `/run/host` that it reads only when it starts: it runs anew when one has changed.
    pub restart_on: Vec<String>,
    /// Whether a boot without it is a bad boot.
    pub required: bool,
    /// How it is ended.
    pub stop: Stop,
}

/// Whether a service stays up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Stays up until it is stopped.
    #[default]
    Daemon,
    /// Runs once; exit status 0 is success.
    Oneshot,
}

/// Something that becomes true during a boot, written `SUBJECT:STATE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Condition {
    /// `network:online`: a default route is set, or none will come.
    NetworkOnline,
    /// `state:mounted`: the state partition, or memory in its place, is there.
    StateMounted,
    /// `NAME:ready`: that daemon is ready.
    Ready(String),
    /// `NAME:done`: that oneshot has ended with success.
    Done(String),
}

impl TryFrom<String> for Condition {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("network", "online")) => Ok(Self::NetworkOnline),
            Some(("state", "mounted")) => Ok(Self::StateMounted),
            Some((name, "ready")) if !name.is_empty() => Ok(Self::Ready(name.to_owned())),
            Some((name, "done")) if !name.is_empty() => Ok(Self::Done(name.to_owned())),
            _ => Err(format!(
                "`{text}` is not a condition: write `network:online`, `state:mounted`, `NAME:ready` or `NAME:done`"
            )),
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkOnline => f.write_str("network:online"),
            Self::StateMounted => f.write_str("state:mounted"),
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

/// How a daemon is known to be ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// As soon as its program runs.
    #[default]
    Started,
    /// `READY=1` on its `NOTIFY_SOCKET` (`sd_notify(3)`).
    Notify,
    /// This port of 127.0.0.1 takes connections; for services with the host's network namespace.
    Tcp(u16),
    /// This socket, a path in the container, takes connections.
    Unix(String),
}

/// What happens when a service ends without having been told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Restart {
    /// Whether it is started again.
    pub policy: RestartPolicy,
    /// How long to wait before: doubled at every try, back to the least after a minute of running.
    pub backoff: Backoff,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            backoff: Backoff {
                least: Span::millis(100),
                most: Span::seconds(30),
            },
        }
    }
}

/// When a service that ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    Never,
    /// When it ended by a signal or with a status other than 0.
    OnFailure,
    /// However it ended.
    Always,
}

/// A range of waits, written `LEAST..MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Backoff {
    /// Before the first restart.
    pub least: Span,
    /// Before any.
    pub most: Span,
}

impl TryFrom<String> for Backoff {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (least, most) = text
            .split_once("..")
            .ok_or_else(|| format!("`{text}` is not a range of waits: write `100ms..30s`"))?;
        let backoff = Self {
            least: least.to_owned().try_into()?,
            most: most.to_owned().try_into()?,
        };
        if backoff.least.0.is_zero() || backoff.least > backoff.most {
            return Err(format!(
                "`{text}` must go from a wait above zero to one at least as long"
            ));
        }
        Ok(backoff)
    }
}

impl From<Backoff> for String {
    fn from(backoff: Backoff) -> Self {
        format!(
            "{}..{}",
            Self::from(backoff.least),
            Self::from(backoff.most)
        )
    }
}

/// How a service is ended.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Stop {
    /// What it is sent first.
    pub signal: StopSignal,
    /// How long it has before its cgroup is killed.
    pub grace: Span,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            signal: StopSignal::Term,
            grace: Span::seconds(10),
        }
    }
}

/// The signals that daemons take as "end".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
pub enum StopSignal {
    /// What most daemons expect.
    #[serde(rename = "SIGTERM")]
    Term,
    /// Ctrl-C.
    #[serde(rename = "SIGINT")]
    Int,
    /// Terminals gone: what a login shell expects.
    #[serde(rename = "SIGHUP")]
    Hup,
    /// nginx's graceful end.
    #[serde(rename = "SIGQUIT")]
    Quit,
    /// No chance to answer.
    #[serde(rename = "SIGKILL")]
    Kill,
}
