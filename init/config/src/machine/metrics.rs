//! Metrics for monitoring.

use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Metrics in the Prometheus format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Metrics {
    /// Where Prometheus metrics are served, over HTTP at `/metrics`.
    #[cfg_attr(feature = "schema", schemars(
        schema_with = "crate::schema::socket_address",
        extend(
            "examples" = ["127.0.0.1:9100", "[::1]:9100"],
            "x-tare-default" = "nowhere",
            "x-tare-see" = "tare-command.md#prometheus",
        ),
    ))]
    pub listen: Option<SocketAddr>,
}
