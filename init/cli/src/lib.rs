//! The `tare` command.
//!
//! It calls PID 1 over the control socket and shows the reply, as text or, with `--json`, unchanged. Pure functions
//! of a reply make the output; golden files hold it.

#![forbid(unsafe_code)]

mod app;
pub mod args;
mod audit;
mod boot;
mod change;
mod config;
mod container;
mod events;
mod exec;
mod exit;
mod job;
mod list;
mod logs;
mod remote;
mod run;
mod secret;
mod show;
mod status;
mod style;
mod table;
mod toolbox;
mod top;
mod units;

pub use exit::Failed;
pub use run::run;

#[cfg(test)]
mod golden;
