//! What PID 1's loop waits for.

use crate::effect::power::Ending;
use tare_container::{LaunchError, Running};

/// What PID 1's loop waits for.
#[derive(Debug)]
pub(crate) enum Event {
    /// Some child has ended.
    ChildEnded,
    /// Whether a run of a service became its program.
    Launched {
        service: String,
        run: u64,
        result: Result<Running, LaunchError>,
    },
    /// A run of a service answers.
    Ready { service: String, run: u64 },
    /// A run's backoff is over.
    BackoffOver { service: String, run: u64 },
    /// A run's grace is over.
    GraceOver { service: String, run: u64 },
    /// A service spoke on its notify socket.
    Notified { service: String, message: String },
    /// Links or addresses changed.
    NetworkChanged,
    /// No way out was found in time; what waits for one goes on without.
    NetworkLate,
    /// The required services had their time.
    BootLate,
    /// The watchdogs are to be fed: proof that the loop turns, for it comes through the loop.
    WatchdogDue,
    /// The machine is to end.
    End(Ending),
    /// The machine had its time to end.
    EndLate,
}
