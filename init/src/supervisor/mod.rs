//! The supervisor: one state machine a service, one loop, one place that reaps.

mod act;
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
mod readable;
pub(crate) mod reap;
mod reason;
mod run;
mod signal;
mod sockets;
mod start;
mod state;
#[expect(dead_code, reason = "the control socket's server asks")]
mod status;
mod stop;
mod task;
mod unit;
mod words;

pub(crate) use event::Event;
pub(crate) use notice::values;
pub(crate) use run::Supervisor;
