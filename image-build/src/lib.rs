//! Builds Tare's disk image from TOML and Debian packages.

pub mod apt;
pub mod cache;
pub mod digest;
pub mod host;
pub mod kernel;
pub mod progress;
