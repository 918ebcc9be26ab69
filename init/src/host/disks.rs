//! What disks hold: the state and user-data. Jobs read them ([`crate::job`]); the machine waits for their answers,
//! but only for a limited time.

use super::{Configured, Host, STORAGE, STORAGE_TIMEOUT};
use crate::config::Local;
use crate::effect::state;
use crate::effect::userdata::SOURCES;
use crate::event::DiskEvent;
use crate::job::{self, Done, Job, PROCESS_ENDED, Sources, State};
use crate::paths::STATE;
use crate::plan::generations::{History, Kept};
use crate::task::Task;
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
}

impl Disks {
    /// Whether the state is in memory; `None` before it is mounted.
    pub(super) fn volatile(&self) -> Option<bool> {
        self.state.as_ref().map(|state| state.volatile)
    }

    /// Whether the state had a file of swap when it was mounted.
    pub(super) fn has_swap_file(&self) -> bool {
        self.state.as_ref().is_some_and(|state| state.has_swap_file)
    }

    pub(super) fn machine_id(&self) -> &str {
        self.state.as_ref().map_or("", |state| &state.machine_id)
    }

    /// What the sources hold.
    pub(super) fn found(&self) -> &Sources {
        &self.sources
    }

    /// The generations of the configuration, which are handed out once.
    pub(super) fn take_history(&mut self) -> History {
        let state = self.state.as_mut();
        state
            .map(|state| std::mem::take(&mut state.history))
            .unwrap_or_default()
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
            Done::Source { source, held } => self.source_read(source, held),
            Done::State(state) => {
                if state.volatile {
                    log::error!(
                        "state: in memory; what is written to {STATE} is lost at power off"
                    );
                }
                self.disks.state = Some(state);
            }
            Done::Settings { refused, before } => self.settings_applied(refused, before),
            Done::SwapSet { problems } => self.swap_set(problems),
            Done::GenerationsSaved { failed } => self.generations_saved(failed),
            Done::Generation { number, read } => self.generation_read(number, read),
            Done::FilesWritten { problems } => self.files_written(problems),
            Done::Secrets { found } => self.secrets_read(found.into_iter().collect()),
            Done::SecretSaved { failed } => self.secret_saved(failed),
            Done::SecretNames { names } => self.secrets_listed(names),
        }
    }

    fn source_read(&mut self, source: String, held: Option<Result<Vec<u8>, String>>) {
        if self.disks.reading.remove(&source).is_none() {
            self.pulled(&source, held);
            return;
        }
        if let Some(held) = held {
            self.disks.sources.insert(source, held);
        }
    }

    pub(super) fn job_failed(&mut self, job: Job) {
        match job {
            Job::ReadSource { source } => {
                let failed = format!("{source}: {PROCESS_ENDED}");
                if !self.pulled(&source, Some(Err(failed))) {
                    self.disks.reading.remove(&source);
                }
            }
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
            Job::SaveGenerations(_) => self.generations_saved(Some(PROCESS_ENDED.to_owned())),
            Job::ReadGeneration { number } => {
                self.generation_read(number, Err(PROCESS_ENDED.to_owned()));
            }
            Job::WriteFiles { .. } => {
                self.files_written(vec![format!("files: {PROCESS_ENDED}")]);
            }
            Job::Settings { .. } => {
                let ended = format!("sysctl: {PROCESS_ENDED}");
                self.settings_applied(vec![ended], BTreeMap::new());
            }
            Job::SetSwap { .. } => self.swap_set(vec![format!("swap: {PROCESS_ENDED}")]),
            Job::ReadSecrets { references } => self.secrets_not_read(references),
            Job::SaveSecret { .. } | Job::ListSecrets => {
                self.secret_saved(Some(PROCESS_ENDED.to_owned()));
            }
        }
    }

    /// Starts the console and the network without the state: checking a large file system takes hours, and a dying
    /// disk may never answer. Gives up on disks that may hold user-data and have not answered either.
    pub(super) fn disks_late(&mut self) {
        if self.configured == Configured::Yes {
            return self.files_late();
        }
        if self.ending.is_some() {
            return;
        }
        if self.configure_prepared() {
            log::error!("configuration: not saved yet; going on");
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
        let local = Local {
            cmdline: self.cmdline(),
            ..Local::default()
        };
        let loaded = self.load(self.disks.found(), &Kept::new(), local);
        self.take_configuration(loaded, false);
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

    pub(super) fn start_job(&self, job: Job) -> Task {
        job::start(job, self.events.clone())
    }
}
