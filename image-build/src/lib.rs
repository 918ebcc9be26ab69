//! Builds Tare's disk image from TOML and Debian packages.
//!
//! [`build()`] does all of it: it gathers the inputs (packages, kernel, our own programs),
//! assembles root filesystems as data, and writes them as EROFS under dm-verity to a GPT disk. No
//! step needs root, and the same inputs give the same bytes.

pub mod apt;
mod archive;
mod bake;
mod binaries;
mod build;
pub mod cache;
mod check;
pub mod digest;
mod disk;
mod erofs;
mod esp;
mod grub;
pub mod host;
mod inputs;
pub mod kernel;
mod media;
mod output;
mod packages;
mod preload;
pub mod progress;
mod recipe;
mod rootfs;
mod sbom;
mod system;
mod text;
mod tools;
mod uki;
mod verity;

pub use build::{BuildOptions, build, compile_init, ensure_tools};
pub use output::Image;
