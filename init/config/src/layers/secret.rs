//! Which values are shown to nobody.

use super::tree::{Path, Step};
use toml::Value;

/// Keys whose values are secret, and those that hold whatever a program needs, passwords among it.
const SECRETS: &[&[&str]] = &[
    &["apps", "*", "compose"],
    &["apps", "*", "configs", "*", "content"],
    &["apps", "*", "services", "*", "build", "args"],
    &["apps", "*", "services", "*", "environment"],
    &["engine", "log-opts", "splunk-token"],
    &["engine", "tlskey"],
    &["files", "*", "base64"],
    &["files", "*", "text"],
    &["jobs", "*", "environment"],
    &["registries", "*", "password"],
    &["services", "*", "environment"],
];

/// Keys that hold a text that is secret, or a reference to it.
pub(super) const REFERRING: &[&[&str]] = &[
    &["apps", "*", "services", "*", "environment", "*"],
    &["engine", "tlskey"],
    &["files", "*", "base64"],
    &["files", "*", "text"],
    &["jobs", "*", "environment", "*"],
    &["registries", "*", "password"],
];

/// Settings of the kernel that are secret, by the last part of their names: keys of TCP Fast Open, and those of which IPv6
/// addresses are made (Documentation/networking/ip-sysctl.rst).
const SECRET_SETTINGS: [&str; 2] = ["stable_secret", "tcp_fastopen_key"];

/// Whether any value at the key with the parts `keys` is secret.
#[cfg(feature = "schema")]
pub(crate) fn is_secret_key(keys: &[String]) -> bool {
    Path::of(keys).within(SECRETS).is_some()
}

/// Whether the `value` at `path` is secret.
pub(super) fn is_secret(path: &Path, value: &Value) -> bool {
    let is_of_secret = path.within(SECRETS).is_some() && !is_in_reference(path);
    is_of_secret || is_secret_setting(path) || has_user(value)
}

/// Whether a reference has the value at `path`: where a secret is kept is not secret.
fn is_in_reference(path: &Path) -> bool {
    match path.0.split_last() {
        Some((Step::Key(kind), holder)) if kind == "credential" || kind == "file" => {
            let holder = Path(holder.to_vec());
            REFERRING.iter().any(|pattern| holder.matches(pattern))
        }
        _ => false,
    }
}

fn is_secret_setting(path: &Path) -> bool {
    match &path.0[..] {
        [Step::Key(section), .., Step::Key(name)] if section == "sysctl" => {
            let last = name.rsplit(['.', '/']).next();
            last.is_some_and(|last| SECRET_SETTINGS.contains(&last))
        }
        _ => false,
    }
}

/// Whether an address in `value` names a user, and with that a password or a token, as in `http://me:secret@proxy.example`.
fn has_user(value: &Value) -> bool {
    match value {
        Value::String(text) => text.split("://").skip(1).any(|rest| {
            let host = rest.split(['/', '?', '#', ' ', '\n']).next();
            host.is_some_and(|host| host.contains('@'))
        }),
        Value::Array(values) => values.iter().any(has_user),
        Value::Table(table) => table.values().any(has_user),
        _ => false,
    }
}
