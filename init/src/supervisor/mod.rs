//! The supervisor: one state machine a service, one loop, one place that reaps.

mod act;
mod children;
mod conditions;
mod event;
mod launch;
mod notify;
mod output;
mod ready;
pub(crate) mod reap;
mod run;
mod state;
#[expect(dead_code, reason = "the control socket's server asks")]
mod status;
mod stop;
mod unit;

pub(crate) use event::Event;
pub(crate) use notify::values;
pub(crate) use run::Supervisor;
