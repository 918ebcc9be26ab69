//! How a service is probed: until it becomes ready, and then repeatedly for its health.

use crate::Span;
use serde::{Deserialize, Serialize};

/// How a daemon is known to be ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// As soon as its program runs.
    #[default]
    Started,
    /// `READY=1` on its `NOTIFY_SOCKET` (`sd_notify(3)`).
    Notify,
    /// Same as [`Probe::Tcp`].
    Tcp(u16),
    /// Same as [`Probe::Unix`].
    Unix(String),
    /// Same as [`Probe::Http`].
    Http(HttpTarget),
    /// Same as [`Probe::Exec`].
    Exec(Vec<String>),
}

impl Ready {
    /// The probe to repeat until it succeeds. `None` if readiness is reported, not probed.
    #[must_use]
    pub fn probe(&self) -> Option<Probe> {
        match self {
            Self::Started | Self::Notify => None,
            Self::Tcp(port) => Some(Probe::Tcp(*port)),
            Self::Unix(path) => Some(Probe::Unix(path.clone())),
            Self::Http(target) => Some(Probe::Http(target.clone())),
            Self::Exec(args) => Some(Probe::Exec(args.clone())),
        }
    }
}

/// One probe of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Does this port of 127.0.0.1 accept a connection? For services with the host's network namespace.
    Tcp(u16),
    /// Does this socket, a path in the container, accept a connection?
    Unix(String),
    /// Does a GET return a status from 200 to 399? Otherwise as [`Tcp`](Self::Tcp).
    Http(HttpTarget),
    /// Does this program exit with status 0? It runs in the container, with the service's rights.
    Exec(Vec<String>),
}

impl Probe {
    /// True if the service must share the host's network to be probed.
    #[must_use]
    pub fn needs_network(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Http(_))
    }
}

/// What to GET, written `PORT/PATH`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpTarget {
    /// On 127.0.0.1.
    pub port: u16,
    /// With its leading slash.
    pub path: String,
}

impl TryFrom<String> for HttpTarget {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let (port, path) = text.split_at(text.find('/').unwrap_or(text.len()));
        let clean = path.bytes().all(|byte| byte.is_ascii_graphic());
        match port.parse() {
            Ok(port) if port > 0 && path.starts_with('/') && clean => Ok(Self {
                port,
                path: path.to_owned(),
            }),
            // It may hold a password.
            _ => Err("this is not a port and a path: write `8080/healthz`".to_owned()),
        }
    }
}

impl From<HttpTarget> for String {
    fn from(target: HttpTarget) -> Self {
        format!("{}{}", target.port, target.path)
    }
}

/// The health check of a service that is ready.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "RawHealth", into = "RawHealth")]
pub struct Health {
    /// The probe.
    pub probe: Probe,
    /// Time from one result to the next probe.
    pub interval: Span,
    /// How long a probe may take.
    pub timeout: Span,
    /// This many failures in a row end the service. From the first one on it is degraded.
    pub retries: u32,
}

/// A health check as written: exactly one of the four probes.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[cfg_attr(feature = "schema", schemars(extend(
        "oneOf" = [
            { "required": ["tcp"] }, { "required": ["unix"] }, { "required": ["http"] }, { "required": ["exec"] },
        ],
        "examples" = [{ "http": "8080/healthz", "interval": "10s", "timeout": "2s", "retries": 5 }],
    )))]
struct RawHealth {
    /// Healthy if this port of 127.0.0.1 accepts a connection, for services with the host's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [22],
        "x-tare-default" = "the image's",
    )))]
    tcp: Option<u16>,
    /// Healthy if this socket, a path in the container, accepts a connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["/run/x/socket"],
        "x-tare-default" = "the image's",
    )))]
    unix: Option<String>,
    /// Healthy if a GET of this path at this port of 127.0.0.1 returns a status from 200 to 399, for services with the
    /// host's network.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["8080/healthz"],
        "x-tare-default" = "the image's",
    )))]
    http: Option<HttpTarget>,
    /// Healthy if this program exits with status 0. It runs in the container, with the service's rights.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["/bin/check"]],
        "x-tare-default" = "the image's",
        "x-tare-type" = "list of strings",
    )))]
    exec: Option<Vec<String>>,
    /// Time from one result to the next probe.
    #[serde(default = "interval")]
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::positive::<Span>",
        extend("examples" = ["10s"]),
    ))]
    interval: Span,
    /// How long a probe may take.
    #[serde(default = "timeout")]
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::positive::<Span>",
        extend("examples" = ["2s"]),
    ))]
    timeout: Span,
    /// This many failures in a row end the service. From the first one on it is degraded.
    #[serde(default = "retries")]
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::positive::<u32>",
        extend("examples" = [5]),
    ))]
    retries: u32,
}

fn interval() -> Span {
    Span::seconds(30)
}

fn timeout() -> Span {
    Span::seconds(5)
}

fn retries() -> u32 {
    3
}

impl TryFrom<RawHealth> for Health {
    type Error = String;

    fn try_from(raw: RawHealth) -> Result<Self, String> {
        let probe = match (raw.tcp, raw.unix, raw.http, raw.exec) {
            (Some(port), None, None, None) => Probe::Tcp(port),
            (None, Some(path), None, None) => Probe::Unix(path),
            (None, None, Some(target), None) => Probe::Http(target),
            (None, None, None, Some(args)) => Probe::Exec(args),
            _ => return Err("health must name exactly one of tcp, unix, http, exec".to_owned()),
        };
        if raw.interval.0.is_zero() || raw.timeout.0.is_zero() || raw.retries == 0 {
            return Err("interval, timeout and retries of health must be above zero".to_owned());
        }
        Ok(Self {
            probe,
            interval: raw.interval,
            timeout: raw.timeout,
            retries: raw.retries,
        })
    }
}

impl From<Health> for RawHealth {
    fn from(health: Health) -> Self {
        let mut raw = Self {
            tcp: None,
            unix: None,
            http: None,
            exec: None,
            interval: health.interval,
            timeout: health.timeout,
            retries: health.retries,
        };
        match health.probe {
            Probe::Tcp(port) => raw.tcp = Some(port),
            Probe::Unix(path) => raw.unix = Some(path),
            Probe::Http(target) => raw.http = Some(target),
            Probe::Exec(args) => raw.exec = Some(args),
        }
        raw
    }
}
