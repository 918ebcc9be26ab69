//! What PID 1's loop waits for.

use super::execs::Ended;
use super::state;
use crate::control::Question;
use crate::effect::power::Ending;
use crate::job::{Done, Job};
use crate::network::Report;
use tare_container::{LaunchError, Running};
use tokio::sync::oneshot;

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
    /// Something happened to a run of a service.
    Happened {
        service: String,
        run: u64,
        what: state::Event,
    },
    /// A run of a service may not have fed its watchdog in time.
    WatchdogDue { service: String, run: u64 },
    /// The process that a run of a service named as its main one has ended.
    MainEnded { service: String, run: u64, pid: i32 },
    /// A program is to be run in the container of a run of a service.
    Probe {
        service: String,
        run: u64,
        args: Vec<String>,
        /// How it ended; whoever waits no longer has dropped the other end.
        done: oneshot::Sender<Ended>,
    },
    /// Somebody waits for such a program no longer.
    ProbeLate,
    /// A periodic service is to run.
    Due { service: String },
    /// Somebody uses a socket of a service.
    SocketUsed { service: String },
    /// What can only be looked at may have changed.
    Look,
    /// Services may be restarted for facts again.
    FactPauseOver,
    /// There are more services to start than PID 1 does at a time.
    StartMore,
    /// A run of a service spoke on its notify socket.
    Notified {
        service: String,
        run: u64,
        message: String,
    },
    /// The devices that were there at the boot have their modules.
    ColdPlugged,
    /// The kernel's network is another one, or was looked at for the first time.
    Network(Report),
    /// A lease may be over.
    LeaseLate,
    /// No way out was found in time; what waits for one goes on without.
    NetworkLate,
    /// Work on disks is done.
    JobDone(Done),
    /// It could not be done, or its process has ended without an answer.
    JobFailed(Job),
    /// `storage` takes longer than usual.
    StorageLate,
    /// The required services had their time.
    BootLate,
    /// The watchdogs are to be fed: proof that the loop turns, for it comes through the loop.
    HardwareWatchdogDue,
    /// Somebody asks over the control socket.
    Asked(Question),
    /// The machine is to end.
    End(Ending),
    /// The machine had its time to end.
    EndLate,
}
