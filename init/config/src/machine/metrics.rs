//! Figures for monitoring.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Figures in Prometheus's format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Metrics {
    /// Where they are served, by HTTP at `/metrics`; absent: nowhere.
    pub listen: Option<SocketAddr>,
}
