//! Access to the control socket.

use serde::{Deserialize, Serialize};

/// The control socket. Root and the group `tare` may call every method.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Control {
    /// What users other than root and the group `tare` may do on the control socket.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["status"],
        "x-tare-see" = "tare-command.md#the-socket",
    )))]
    pub others: Others,
}

/// What callers that are neither root nor in the group `tare` may do on the control socket.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Others {
    /// Not even connect.
    #[default]
    Nothing,
    /// Read the status of the machine and its services.
    Status,
}
