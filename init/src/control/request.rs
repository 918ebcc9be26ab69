//! Requests of a connection to PID 1's loop, and the loop's responses.

use crate::supervisor::{Ended, ServiceStatus};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tare_control::{
    Address, ApplyConfiguration, Event, Failure, GetBootTimeline, GetConfiguration, GetGeneration,
    GetGenerations, Health, ListSecrets, Method,
};
use tokio::sync::oneshot::Sender;
use tokio::sync::{broadcast, oneshot};

/// A call that its peer is allowed to make.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Who makes it.
    pub(crate) uid: u32,
    /// Those that came with the call.
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Where the answer goes; the caller may be gone.
    pub(crate) answer: Sender<Result<Response, Failure>>,
}

/// PID 1's part of the answer. The kernel knows the rest.
#[derive(Debug)]
pub(crate) enum Response {
    /// It is done.
    Nothing,
    Status(Snapshot),
    Services(Vec<ServiceStatus>),
    Service(Box<ServiceStatus>, serde_json::Value),
    Processes(Vec<Process>),
    Timeline(GetBootTimeline),
    Configuration(GetConfiguration),
    Applied(ApplyConfiguration),
    Generations(GetGenerations),
    Generation(GetGeneration),
    Secrets(ListSecrets),
    /// A program runs; the receiver gets how it ends.
    Program(oneshot::Receiver<Ended>),
    /// Past events, the oldest first, and those to come.
    Events(Vec<Event>, broadcast::Receiver<Event>),
}

/// What PID 1 knows about the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) machine_id: String,
    pub(crate) health: Health,
    pub(crate) problems: Vec<String>,
    /// In microseconds since the kernel started.
    pub(crate) ready_at: Option<u64>,
    pub(crate) addresses: Vec<Address>,
    /// Whether the state is in memory; `None` before it is mounted.
    pub(crate) volatile: Option<bool>,
    /// The generation of the configuration in force.
    pub(crate) configuration: Option<u64>,
    /// One with which the machine was not ready.
    pub(crate) set_aside: Option<u64>,
}

/// What is needed to ask the kernel about a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) service: String,
    /// Its main process, while it runs.
    pub(crate) pid: Option<i32>,
    pub(crate) cgroup: PathBuf,
}
