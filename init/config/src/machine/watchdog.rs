//! The hardware watchdog.

use crate::Span;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Whether and when the hardware resets a machine whose PID 1 does not respond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Watchdog {
    /// Whether a hardware watchdog, if there is one, resets a machine whose PID 1 hangs.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [false])))]
    pub enabled: bool,
    /// How long PID 1 may be silent.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = ["30s"])))]
    pub timeout: WatchdogTimeout,
}

impl Default for Watchdog {
    fn default() -> Self {
        Self {
            enabled: true,
            timeout: WatchdogTimeout(Span::seconds(60)),
        }
    }
}

/// A watchdog's timeout in whole seconds, from 5 s to 5 minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Span", into = "Span")]
pub struct WatchdogTimeout(Span);

impl WatchdogTimeout {
    /// The timeout.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0.0
    }
}

impl TryFrom<Span> for WatchdogTimeout {
    type Error = String;

    fn try_from(span: Span) -> Result<Self, String> {
        let whole = span.0.subsec_nanos() == 0;
        if whole && (Duration::from_secs(5)..=Duration::from_secs(300)).contains(&span.0) {
            return Ok(Self(span));
        }
        Err(format!(
            "a watchdog's timeout must be 5s..=300s in whole seconds, is {}",
            String::from(span)
        ))
    }
}

impl From<WatchdogTimeout> for Span {
    fn from(timeout: WatchdogTimeout) -> Self {
        timeout.0
    }
}
