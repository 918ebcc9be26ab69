//! Tare's TOML schema: services and the configuration of a machine.
//!
//! Everything here is pure: text in, types or a located error out. Nothing reads a file or depends on the kernel.
//! Strings become types once, in this crate.

#![forbid(unsafe_code)]

mod depth;
mod duration;
mod enabled;
mod error;
pub mod layers;
mod lease;
pub mod machine;
mod override_;
mod problem;
mod resolve;
mod resolver;
#[cfg(feature = "schema")]
pub mod schema;
pub mod service;
mod size;
#[cfg(test)]
mod testing;
mod text;

pub use duration::Span;
pub use error::{ConfigError, Location};
pub use layers::{
    Added, Configuration, Layers, MOVED, Moved, Now, Origin, Setting, Settings, defaults, is_in,
    validate,
};
pub use lease::{Lease, LeaseReport};
pub use machine::Machine;
pub use override_::Override;
pub use problem::{Problem, Severity};
pub use resolve::disabled;
pub use resolver::RESOLVER_ADDRESSES;
#[cfg(feature = "schema")]
pub(crate) use service::MAX_ARGUMENT;
pub use service::Service;
pub use size::Bytes;
pub use text::{MAX_BYTES, name as check_name, parse};
