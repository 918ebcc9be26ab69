//! The control socket: `org.tare.Control`, a varlink interface (<https://varlink.org>).
//!
//! The interface is described once for people and tools, in `org.tare.Control.varlink`, and once here, as
//! types; a test compares the two.

#![forbid(unsafe_code)]

mod audit;
mod call;
#[cfg(feature = "client")]
mod client;
mod configuration;
mod event;
mod failure;
mod secret;
mod service;
mod status;
mod timeline;
mod wire;

pub use audit::{Audit, AuditServices, Capabilities, Limits, Rights, WritableMount};
pub use call::{Call, Hidden, Method, RawCall};
#[cfg(feature = "client")]
pub use client::{CallError, Client, Replies};
pub use configuration::{
    ApplyConfiguration, Generation, GetConfiguration, GetGeneration, GetGenerations, Source,
    Verdict,
};
pub use event::{Event, EventKind, Monitor};
pub use failure::Failure;
pub use secret::ListSecrets;
pub use service::{Dependency, ExecInService, ListServices, Service, ShowService, State};
pub use status::{Address, Disk, GetStatus, Health, Memory};
pub use timeline::{GetBootTimeline, Span, SpanKind};
pub use wire::Nothing;

/// The name of the interface.
pub const INTERFACE: &str = "org.tare.Control";
/// Its description, as `varlinkctl introspect` shows it.
pub const DESCRIPTION: &str = include_str!("org.tare.Control.varlink");
/// The name of the interface that every varlink service has.
pub const VARLINK_INTERFACE: &str = "org.varlink.service";
/// Its description (<https://varlink.org/Service>).
pub const VARLINK_DESCRIPTION: &str = include_str!("org.varlink.service.varlink");
/// The path of the socket in a service that may talk to PID 1.
pub const SOCKET: &str = "/run/tare/tare.sock";
/// The name of the directory that PID 1 shares with those services.
pub const SHARE: &str = "control";
/// The same for a socket of the same kind that only reports the status and changes nothing.
pub const STATUS_SHARE: &str = "status";
/// The socket's name there.
pub const SOCKET_NAME: &str = "tare.sock";
/// The group whose members may call every method: `tare`.
pub const GROUP: u32 = 988;
/// The longest message in bytes, without its terminator.
pub const MAX_MESSAGE: usize = 64 << 10;
/// The same for a caller that may call every method: a configuration may be 1 MiB, and JSON makes it longer.
pub const MAX_PRIVILEGED_MESSAGE: usize = 2 << 20;

#[cfg(test)]
mod tests;
