//! Metrics for monitoring.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Metrics in the Prometheus format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Metrics {
    /// Where they are served, over HTTP at `/metrics`. If absent, nowhere.
    pub listen: Option<SocketAddr>,
}
