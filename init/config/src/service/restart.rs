//! What happens when a service ends without being told to.

use super::range;
use crate::Span;
use serde::{Deserialize, Serialize};

/// What happens when a service ends without being told to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Restart {
    /// Whether it is restarted.
    pub policy: RestartPolicy,
    /// How long to wait before a restart. The wait doubles with every try and is up to a quarter shorter at random,
    /// so that services that failed together do not restart together.
    pub backoff: Backoff,
    /// After a run of this length the next backoff is the minimum again.
    pub stable: Span,
    /// How often it may be started. If absent, without limit.
    pub limit: Option<Limit>,
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::OnFailure,
            backoff: Backoff {
                least: Span::millis(100),
                most: Span::seconds(30),
            },
            stable: Span::seconds(60),
            limit: None,
        }
    }
}

/// When a service that ended is restarted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    Never,
    /// If it ended by a signal or with a status other than 0, was not ready in time, or was unhealthy.
    OnFailure,
    /// However it ended.
    Always,
}

/// A limit on the number of starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", schemars(extend(
    "examples" = [{ "starts": 5, "within": "10min", "then": "fail" }],
)))]
pub struct Limit {
    /// The number of starts within `within` that no further start may follow.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [5],
        "minimum" = 1,
        "x-tare-default" = "the image's limit, or none",
    )))]
    #[serde(deserialize_with = "range::starts")]
    pub starts: u32,
    /// The time in which starts are counted, from the first of them.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["10min"],
        "x-tare-default" = "the image's limit, or none",
    )))]
    pub within: Span,
    /// What happens to a service that would exceed the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["fail"],
        "x-tare-default" = "`keep-trying` for a required service, otherwise `fail`",
    )))]
    pub then: Option<LimitThen>,
}

/// What happens to a service that has reached its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum LimitThen {
    /// It has failed until a person starts it.
    Fail,
    /// It goes straight to the longest backoff.
    KeepTrying,
}

/// A range of wait times, written `LEAST..MOST`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Backoff {
    /// The wait before the first restart.
    pub least: Span,
    /// The longest wait.
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
