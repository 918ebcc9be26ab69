//! What a connection asks PID 1's loop, and what that tells it.

use crate::supervisor::{Ended, ServiceStatus};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tare_control::{Address, Event, Failure, GetBootTimeline, Health, Method};
use tokio::sync::oneshot::Sender;
use tokio::sync::{broadcast, oneshot};

/// A call that somebody who may has made.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) method: Method,
    /// What came with it.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Where the answer goes; who asked may be gone.
    pub(crate) answer: Sender<Result<Told, Failure>>,
}

/// What PID 1 knows about it. The rest the kernel knows.
#[derive(Debug)]
pub(crate) enum Told {
    /// It is done.
    Nothing,
    Status(Known),
    Services(Vec<ServiceStatus>),
    Service(Box<ServiceStatus>, serde_json::Value),
    Processes(Vec<Process>),
    Timeline(GetBootTimeline),
    /// A program runs; how it ends.
    Program(oneshot::Receiver<Ended>),
    /// Those that have been, the oldest first, and those to come.
    Events(Vec<Event>, broadcast::Receiver<Event>),
}

/// What PID 1 knows about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) machine_id: String,
    pub(crate) health: Health,
    pub(crate) problems: Vec<String>,
    /// In microseconds since the kernel started.
    pub(crate) ready_at: Option<u64>,
    pub(crate) addresses: Vec<Address>,
    /// Whether the state is memory; none before it is mounted.
    pub(crate) volatile: Option<bool>,
}

/// Where the kernel can be asked about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) service: String,
    /// Its main process, while it runs.
    pub(crate) pid: Option<i32>,
    pub(crate) cgroup: PathBuf,
}
