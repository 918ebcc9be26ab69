//! The supervisor: one state machine a service, one loop, one place that reaps.

mod act;
mod changes;
mod children;
mod conditions;
mod eligible;
mod event;
mod execs;
mod health;
mod launch;
mod main_process;
mod notice;
mod notify;
mod output;
mod probe;
pub(crate) mod reap;
mod reason;
mod run;
mod signal;
mod sockets;
mod start;
mod state;
mod status;
mod stop;
#[cfg(test)]
mod testing;
mod unit;
mod words;

pub(crate) use changes::Change;
pub(crate) use event::Event;
pub(crate) use execs::Ended;
pub(crate) use notice::values;
pub(crate) use run::Supervisor;
pub(crate) use status::{RequestError, ServiceStatus};
