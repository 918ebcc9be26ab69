//! What disks hold: the state and user-data. Jobs read them ([`crate::job`]); the machine waits for their answers,
//! but only for a limited time.

use super::{Configured, Host, STORAGE, STORAGE_TIMEOUT};
use crate::effect::state;
use crate::effect::userdata::SOURCES;
use crate::event::DiskEvent;
use crate::job::{self, Done, Job, Sources, State};
use crate::paths::STATE;
use crate::task::Task;
use log::Level;
use std::collections::BTreeMap;
use tare_config::service::Condition;

/// What is known about the disks, and the jobs that are running.
#[derive(Default)]
pub(super) struct Disks {
    /// The sources whose user-data is being read.
    reading: BTreeMap<String, Task>,
    sources: Sources,
    mounting: Option<Task>,
    state: Option<State>,
    /// What commands of this machine have set, if it has changed since the state was mounted.
    local: Option<String>,
    /// User-data to save once the machine is ready.
    accepted: BTreeMap<String, Vec<u8>>,
    remembering: Option<Task>,
    setting: Option<Task>,
}

impl Disks {
    /// Whether the state is in memory; `None` before it is mounted.
    pub(super) fn volatile(&self) -> Option<bool> {
        self.state.as_ref().map(|state| state.volatile)
    }

    pub(super) fn machine_id(&self) -> &str {
        self.state.as_ref().map_or("", |state| &state.machine_id)
    }

    /// Current and last accepted user-data, by source.
    pub(super) fn user_data(&self) -> (Sources, BTreeMap<String, Vec<u8>>) {
        let remembered = self.state.as_ref().map(|state| state.remembered.clone());
        (self.sources.clone(), remembered.unwrap_or_default())
    }

    /// What commands of this machine have set.
    pub(super) fn local(&self) -> Option<String> {
        let saved = || self.state.as_ref()?.local.clone();
        self.local.clone().or_else(saved)
    }

    pub(super) fn set_local(&mut self, text: String) {
        self.local = Some(text);
    }

    pub(super) fn accept(&mut self, accepted: BTreeMap<String, Vec<u8>>) {
        self.accepted = accepted;
    }
}

impl Host {
    /// Starts to read each source that has not been found and is not being read.
    pub(super) fn read_sources(&mut self) {
        for source in SOURCES {
            let (sources, reading) = (&self.disks.sources, &self.disks.reading);
            if !sources.contains_key(source) && !reading.contains_key(source) {
                let source = source.to_owned();
                let job = Job::ReadSource {
                    source: source.clone(),
                };
                self.disks.reading.insert(source, self.start_job(job));
            }
        }
    }

    /// Mounts the state: the partition if `storage` found it good, otherwise memory. Meanwhile looks for user-data
    /// once more, because a disk may have appeared while `storage` worked. Returns whether both are done, so that the
    /// machine can be configured.
    pub(super) fn has_disks(&mut self) -> bool {
        if self.disks.mounting.is_none() {
            let good = self.supervisor.holds(&Condition::Done(STORAGE.to_owned()));
            if self.configured == Configured::WithoutState {
                state::unmount_memory();
            }
            let partition = state::find().filter(|_| good);
            self.disks.mounting = Some(self.start_job(Job::MountState { partition }));
            self.read_sources();
            self.timers.storage = Some(self.after(STORAGE_TIMEOUT, DiskEvent::Late));
        }
        self.disks.state.is_some() && self.disks.reading.is_empty()
    }

    pub(super) fn job_done(&mut self, done: Done) {
        match done {
            Done::Source { source, held } => {
                self.disks.reading.remove(&source);
                if let Some(held) = held {
                    self.disks.sources.insert(source, held);
                }
            }
            Done::State(state) => {
                if state.volatile {
                    log::error!(
                        "state: in memory; what is written to {STATE} is lost at power off"
                    );
                }
                self.disks.state = Some(state);
            }
            Done::Settings { refused } => {
                for refused in refused {
                    self.say(Level::Error, refused.clone());
                    self.rejected.push(refused);
                }
            }
            Done::Remembered => {}
            Done::LocalSaved { failed } => self.local_saved(failed),
        }
    }

    pub(super) fn job_failed(&mut self, job: Job) {
        match job {
            Job::ReadSource { source } => drop(self.disks.reading.remove(&source)),
            Job::MountState { partition: Some(_) } => {
                let memory = Job::MountState { partition: None };
                self.disks.mounting = Some(self.start_job(memory));
            }
            Job::MountState { partition: None } => {
                self.disks.state = Some(State {
                    volatile: true,
                    ..State::default()
                });
            }
            Job::SaveLocal { .. } => {
                let failed = "the process that saves it has ended".to_owned();
                self.local_saved(Some(failed));
            }
            Job::Settings { .. } | Job::Remember { .. } => {}
        }
    }

    /// Starts the console and the network without the state: checking a large file system takes hours, and a dying
    /// disk may never answer. Gives up on disks that may hold user-data and have not answered either.
    pub(super) fn disks_late(&mut self) {
        if self.configured == Configured::Yes || self.ending.is_some() {
            return;
        }
        let seconds = STORAGE_TIMEOUT.as_secs();
        for (source, _) in std::mem::take(&mut self.disks.reading) {
            log::error!("user-data: {source} has not answered after {seconds} s; going on without");
        }
        if self.disks.state.is_some() || self.configured == Configured::WithoutState {
            return;
        }
        log::error!(
            "state: still being checked after {seconds} s; console and network start without it"
        );
        state::mount_memory();
        state::prepare();
        self.configured = Configured::WithoutState;
        self.take_configuration();
        self.write_facts();
        self.refresh_network();
    }

    /// The problem to report if another disk holds this system too.
    pub(super) fn twins() -> Option<String> {
        let (disk, others) = state::twins()?;
        (!others.is_empty()).then(|| {
            format!(
                "{} holds Tare, too: this machine runs from {disk}, and may boot from the other next time. Detach or erase one",
                others.join(", ")
            )
        })
    }

    /// Saves the user-data that the machine became ready with, if it has changed.
    pub(super) fn remember(&mut self) {
        let (_, remembered) = self.disks.user_data();
        let mut layers = std::mem::take(&mut self.disks.accepted);
        layers.retain(|source, bytes| remembered.get(source) != Some(bytes));
        if !layers.is_empty() {
            self.disks.remembering = Some(self.start_job(Job::Remember { layers }));
        }
    }

    /// Has the kernel's settings of the machine applied.
    pub(super) fn apply_settings(&mut self) {
        let job = Job::Settings {
            modules: self.machine.modules.clone(),
            sysctl: self.machine.sysctl.0.clone(),
        };
        self.disks.setting = Some(self.start_job(job));
    }

    pub(super) fn start_job(&self, job: Job) -> Task {
        job::start(job, self.events.clone())
    }
}
