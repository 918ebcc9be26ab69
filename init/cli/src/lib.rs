//! The `tare` command.
//!
//! It asks PID 1 over the control socket and shows the answer: as text for people, or with `--json` as it
//! came. What is shown is made by pure functions of an answer; golden files hold what they make.

#![forbid(unsafe_code)]

pub mod args;
mod audit;
mod boot;
mod change;
mod events;
mod exec;
mod exit;
mod list;
mod logs;
mod run;
mod show;
mod status;
mod style;
mod table;
mod top;
mod units;

pub use exit::Failed;
pub use run::run;

#[cfg(test)]
mod golden;
