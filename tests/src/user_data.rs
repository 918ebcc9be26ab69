//! User-data that tests give to machines.

use anyhow::Result;
use tare_qemu::{Key, target, with_key};

/// What `cargo boot` gives its machine: a name, and one small web app on port 80 from a container image that
/// is part of the disk image.
pub const DEMO: &str = include_str!("../../qemu/src/default-user-data.toml");

/// A machine without containers, for tests that do not need them: the engine takes half of a boot.
pub const NO_ENGINE: &str = "services.apps.enabled = false\nservices.engine.enabled = false\n";

/// `toml` with the key that [`tare_qemu::Vm::ssh`] uses added to its keys.
///
/// # Errors
/// No key can be made, or `toml` is not TOML.
pub fn with_our_key(toml: &str) -> Result<String> {
    with_key(toml, &Key::ensure(&target().join("ssh"))?.public)
}
