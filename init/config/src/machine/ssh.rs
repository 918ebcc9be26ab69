//! Logins over ssh.

use super::checked;
use super::keys::PublicKey;
use super::users::Principal;
use serde::{Deserialize, Serialize};

/// Logins over ssh. Whatever stands here, keys alone log in, and passwords never do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Ssh {
    /// The TCP port. If another program has it when sshd starts, 22 is tried too.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [2222])))]
    pub port: SshPort,
    /// Whether clients may forward TCP ports (`ssh -L`, `-R`, `-D`, `-J`).
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [false])))]
    pub allow_tcp_forwarding: bool,
    /// Public keys of authorities: a certificate that one of them has signed logs in, if it names a principal of the user.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA ca"]],
        "x-tare-default" = "none",
        "x-tare-see" = "user-data.md#users",
        "x-tare-type" = "list of public keys",
    )))]
    pub trusted_user_ca_keys: Vec<PublicKey>,
    /// The names in a certificate of which one must be there to log in as root.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["root", "ops"]],
        "x-tare-default" = "`root`",
        "x-tare-type" = "list of principals",
    )))]
    pub principals: Vec<Principal>,
}

impl Default for Ssh {
    fn default() -> Self {
        Self {
            port: SshPort::USUAL,
            allow_tcp_forwarding: true,
            trusted_user_ca_keys: Vec::new(),
            principals: Vec::new(),
        }
    }
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct SshPort(pub u16);

impl SshPort {
    /// Of ssh (RFC 4253, 4.1).
    const USUAL: Self = Self(22);
}

impl TryFrom<i64> for SshPort {
    type Error = String;

    fn try_from(port: i64) -> Result<Self, String> {
        match u16::try_from(port) {
            Ok(port @ 1..) => Ok(Self(port)),
            _ => Err(format!("port must be 1..=65535, is {port}")),
        }
    }
}

impl From<SshPort> for i64 {
    fn from(port: SshPort) -> Self {
        port.0.into()
    }
}
