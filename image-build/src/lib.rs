//! Builds Tare's disk image from TOML and Debian packages.

pub mod host;
pub mod progress;
