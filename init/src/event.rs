//! The events of PID 1's loop, by the part of PID 1 that they concern.

use crate::control::Request;
use crate::effect::power::Ending;
use crate::job::{self, Job};
use crate::network::Report;
use crate::supervisor::{Ended, state};
use tare_container::{LaunchError, Running};
use tokio::sync::oneshot;

/// An event of PID 1's loop.
#[derive(Debug)]
pub(crate) enum Event {
    /// For the supervisor.
    Unit(UnitEvent),
    /// For links, leases and the wait for a default route.
    Network(NetworkEvent),
    /// For the state and user-data on disks.
    Disk(DiskEvent),
    /// A call over the control socket.
    Control(Request),
    /// For the machine as a whole.
    Power(PowerEvent),
    /// For the generations of the configuration.
    Expired(Expired),
}

/// Events that concern services or PID 1's children.
#[derive(Debug)]
pub(crate) enum UnitEvent {
    /// A child has ended.
    ChildEnded,
    /// The launch of a run of a service succeeded or failed.
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
    /// A run of a service may have missed a watchdog ping.
    WatchdogDue { service: String, run: u64 },
    /// The process that a run of a service named as its main one has ended.
    MainEnded { service: String, run: u64, pid: i32 },
    /// Run a program in the container of a run of a service.
    Probe {
        service: String,
        run: u64,
        args: Vec<String>,
        /// How it ended; the caller drops the other end when it stops waiting.
        done: oneshot::Sender<Ended>,
    },
    /// The caller of a `Probe` has stopped waiting.
    ProbeLate,
    /// A periodic service is due.
    Due { service: String },
    /// A socket of a service has become readable.
    SocketUsed { service: String },
    /// A run of a service sent a message to its notify socket.
    Notified {
        service: String,
        run: u64,
        message: String,
    },
    /// A condition that no event reports may hold now.
    Look,
    /// There are more services to start than PID 1 starts per turn of its loop.
    StartMore,
    /// Services may be restarted for changed facts again.
    FactPauseOver,
}

impl From<UnitEvent> for Event {
    fn from(event: UnitEvent) -> Self {
        Self::Unit(event)
    }
}

/// Events that concern the network.
#[derive(Debug)]
pub(crate) enum NetworkEvent {
    /// The modules of the devices present at boot are loaded.
    ColdPlugged,
    /// The kernel's links, addresses or routes have changed, or are known for the first time.
    Changed(Report),
    /// A lease may have expired.
    LeaseLate,
    /// No default route appeared in time; services that wait for one start without it.
    Late,
}

impl From<NetworkEvent> for Event {
    fn from(event: NetworkEvent) -> Self {
        Self::Network(event)
    }
}

/// Events that concern the disks.
#[derive(Debug)]
pub(crate) enum DiskEvent {
    /// A job is done.
    Done(job::Done),
    /// A job failed, or its process ended without an answer.
    Failed(Job),
    /// `storage`, or a disk, takes longer than usual.
    Late,
}

impl From<DiskEvent> for Event {
    fn from(event: DiskEvent) -> Self {
        Self::Disk(event)
    }
}

/// Events that concern the machine as a whole.
#[derive(Debug)]
pub(crate) enum PowerEvent {
    /// The time limit for the required services has passed.
    BootLate,
    /// The hardware watchdogs are due for a ping. It goes through the loop, which proves that the loop runs.
    WatchdogDue,
    /// Power off or reboot.
    End(Ending),
    /// The time limit for stopping services has passed.
    EndLate,
}

impl From<PowerEvent> for Event {
    fn from(event: PowerEvent) -> Self {
        Self::Power(event)
    }
}

/// Time limits of the configuration that have passed.
#[derive(Debug)]
pub(crate) enum Expired {
    /// That of a generation on trial.
    Trial,
    /// That to confirm a change.
    Confirmation,
    /// That for the sources of user-data to be read again.
    Pull,
}

impl From<Expired> for Event {
    fn from(event: Expired) -> Self {
        Self::Expired(event)
    }
}
