//! Who may ask what runs on the machine.

use serde::{Deserialize, Serialize};

/// The control socket. Root and the group `tare` may do everything there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Control {
    /// What everybody else may do who can reach it.
    pub others: Others,
}

/// What those may do on the control socket who are neither root nor in the group `tare`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// Not even connect.
    #[default]
    Nothing,
    /// See how the machine and its services are.
    Status,
}
