//! The supervisor: one state machine a service, one loop, one place that reaps.

mod conditions;
mod notify;
mod output;
mod ready;
pub(crate) mod reap;
mod run;
mod state;
mod unit;

pub(crate) use notify::values;
pub(crate) use run::{Event, Supervisor};
