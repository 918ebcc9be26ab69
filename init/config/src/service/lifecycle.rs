//! When a service starts, becomes ready, restarts and stops.

use super::{Condition, Health, Ready, Restart, Schedule};
use crate::Span;
use serde::{Deserialize, Serialize};

/// The lifecycle of a service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Lifecycle {
    /// Whether it stays up or ends by itself.
    pub kind: Kind,
    /// What makes it start.
    pub start: Start,
    /// When a periodic service runs.
    pub schedule: Option<Schedule>,
    /// Whether a periodic service with a calendar expression also runs when it is first added after a boot, with
    /// `TARE_CATCH_UP=1`: it may find that it was due while the machine was off.
    pub catch_up: bool,
    /// Every condition that must hold before it starts.
    pub after: Vec<Condition>,
    /// How a daemon is known to be ready. All others are done when they exit.
    pub ready: Ready,
    /// How long it may take to become ready (a daemon) or done (all others); 0 means no limit. If absent, 90 s for a
    /// daemon, no limit for all others.
    pub start_timeout: Option<Span>,
    /// The longest time between two `WATCHDOG=1` messages on its `NOTIFY_SOCKET` (`sd_watchdog_enabled(3)`).
    pub watchdog: Option<Span>,
    /// The health check while it is ready.
    pub health: Option<Health>,
    /// What happens when it ends.
    pub restart: Restart,
    /// Files in `/run/host` that it reads only when it starts. It is restarted when one of them changes.
    pub restart_on: Vec<String>,
    /// Files in `/run/host` that it reads again on SIGHUP, which it is sent when one of them changes.
    pub reload_on: Vec<String>,
    /// Whether a boot without it is a bad boot.
    pub required: bool,
    /// Whether it starts without the state partition if that takes long to check. Its volumes are then in memory, and
    /// it is restarted once the partition is mounted.
    pub without_state: bool,
    /// How it is stopped.
    pub stop: Stop,
}

/// Same as systemd's `DefaultTimeoutStartSec`.
const START_TIMEOUT: Span = Span::seconds(90);

impl Lifecycle {
    /// Whether it has a `NOTIFY_SOCKET`.
    #[must_use]
    pub fn notifies(&self) -> bool {
        self.ready == Ready::Notify || self.watchdog.is_some()
    }

    /// How long it may take to become ready or done; `None` means no limit.
    #[must_use]
    pub fn start_timeout(&self) -> Option<Span> {
        let usual = (self.kind == Kind::Daemon).then_some(START_TIMEOUT);
        self.start_timeout
            .or(usual)
            .filter(|span| !span.0.is_zero())
    }

    /// The condition that it fulfils when it is ready or done.
    #[must_use]
    pub fn condition(&self, name: &str) -> Condition {
        match self.kind {
            Kind::Daemon => Condition::Ready(name.to_owned()),
            Kind::Oneshot | Kind::Periodic => Condition::Done(name.to_owned()),
        }
    }
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
    /// Runs whenever its schedule says; exit status 0 is success.
    Periodic,
}

/// What makes a service start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Start {
    /// Only its conditions.
    #[default]
    Auto,
    /// The first use of one of its sockets, a service that waits for it, or a person.
    OnDemand,
}

/// How a service is stopped.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Stop {
    /// The signal sent first.
    pub signal: StopSignal,
    /// How long it has before its cgroup is killed.
    pub grace: Span,
    /// Whether it is stopped at shutdown only after all services that neither it nor another one like it needs.
    pub last: bool,
}

impl Default for Stop {
    fn default() -> Self {
        Self {
            signal: StopSignal::Term,
            grace: Span::seconds(10),
            last: false,
        }
    }
}

/// The signals by which daemons are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum StopSignal {
    /// What most daemons expect.
    #[serde(rename = "SIGTERM")]
    Term,
    /// Ctrl-C.
    #[serde(rename = "SIGINT")]
    Int,
    /// Terminal hangup: what a login shell expects.
    #[serde(rename = "SIGHUP")]
    Hup,
    /// nginx's graceful shutdown.
    #[serde(rename = "SIGQUIT")]
    Quit,
    /// Cannot be handled.
    #[serde(rename = "SIGKILL")]
    Kill,
}
