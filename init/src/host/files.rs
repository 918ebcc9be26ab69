//! Files that user-data writes to the state partition, and the homes of users.

use super::{Host, STORAGE_TIMEOUT};
use crate::event::DiskEvent;
use crate::job::Job;
use crate::plan::users::{Home, homes};
use crate::task::Task;
use log::Level;
use std::collections::BTreeMap;
use tare_config::machine::{File, FilePath};
use tare_config::service::Condition;

/// The job that writes files, and what it has said.
#[derive(Default)]
pub(super) struct Files {
    writing: Option<Task>,
    /// The homes that it was last told to make.
    homes: Vec<Home>,
    /// The files that it was last told to write.
    wanted: BTreeMap<FilePath, File>,
    /// Whether the configuration has changed since that began.
    again: bool,
    problems: Vec<String>,
}

impl Files {
    /// Whether they are being written.
    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// What could not be written, in sentences.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl Host {
    /// Lets services use the state, once secrets are read, and homes and the files of user-data are there: they may need them
    /// when they start.
    pub(super) fn fill_state(&mut self) {
        let has_secrets = !self.machine.references().is_empty();
        if !has_secrets && !self.has_to_write() {
            return self.supervisor.set(Condition::StateMounted);
        }
        self.timers.storage = Some(self.after(STORAGE_TIMEOUT, DiskEvent::Late));
        match has_secrets {
            true => self.read_secrets(),
            false => self.write_files(),
        }
    }

    /// Whether homes or files differ from those that were last written.
    pub(super) fn has_to_write(&self) -> bool {
        let files = || self.with_secrets().files != self.files.wanted;
        self.files.homes != homes(&self.machine)
            || self.generations.unconfirmed.is_none() && files()
    }

    /// Has homes made, then the files of user-data written, some of which may be in homes. By one job at a time: an older one
    /// could write after a newer one. Files of a change that waits to be confirmed are left out: no power cut would take them
    /// back.
    pub(super) fn write_files(&mut self) {
        if self.files.writing.is_some() {
            self.files.again = true;
            return;
        }
        self.files.homes = homes(&self.machine);
        let mut files = BTreeMap::new();
        if self.generations.unconfirmed.is_none() {
            files.clone_from(&self.with_secrets().files);
            self.files.wanted.clone_from(&files);
        }
        let homes = self.files.homes.clone();
        self.files.writing = Some(self.start_job(Job::WriteFiles { homes, files }));
    }

    pub(super) fn files_written(&mut self, problems: Vec<String>) {
        for problem in &problems {
            self.say(Level::Error, problem.clone());
        }
        self.files.problems = problems;
        self.files.writing = None;
        self.timers.storage = None;
        self.supervisor.set(Condition::StateMounted);
        if std::mem::take(&mut self.files.again) {
            self.write_files();
        }
    }

    /// Services do not wait any longer.
    pub(super) fn files_late(&mut self) {
        let is_busy = self.files.writing.is_some() || self.secrets.is_reading();
        if is_busy && !self.supervisor.holds(&Condition::StateMounted) {
            let seconds = STORAGE_TIMEOUT.as_secs();
            log::error!("files and secrets: not there after {seconds} s; going on without");
            self.supervisor.set(Condition::StateMounted);
        }
    }
}
