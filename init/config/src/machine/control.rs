//! Access to the control socket.

use serde::{Deserialize, Serialize};

/// The control socket. Root and the group `tare` may call every method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Control {
    /// What all other callers that can reach it may do.
    pub others: Others,
}

/// What callers that are neither root nor in the group `tare` may do on the control socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// Not even connect.
    #[default]
    Nothing,
    /// Read the status of the machine and its services.
    Status,
}
