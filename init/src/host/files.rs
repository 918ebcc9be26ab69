//! Files that user-data writes to the state partition.

use super::{Host, STORAGE_TIMEOUT};
use crate::event::DiskEvent;
use crate::job::Job;
use crate::task::Task;
use log::Level;
use std::collections::BTreeMap;
use tare_config::machine::{File, FilePath};
use tare_config::service::Condition;

/// The job that writes files, and what it has said.
#[derive(Default)]
pub(super) struct Files {
    writing: Option<Task>,
    /// Those that it was last told to write.
    wanted: BTreeMap<FilePath, File>,
    /// Whether the configuration has changed since that began.
    again: bool,
    problems: Vec<String>,
}

impl Files {
    /// Whether `files` were, or are being, written.
    pub(super) fn are(&self, files: &BTreeMap<FilePath, File>) -> bool {
        self.wanted == *files
    }

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
    /// Lets services use the state, once secrets are read and the files of user-data are there: they may need them when they
    /// start.
    pub(super) fn fill_state(&mut self) {
        let has_secrets = !self.machine.references().is_empty();
        if self.machine.files.is_empty() && !has_secrets {
            return self.supervisor.set(Condition::StateMounted);
        }
        self.timers.storage = Some(self.after(STORAGE_TIMEOUT, DiskEvent::Late));
        match has_secrets {
            true => self.read_secrets(),
            false => self.write_files(),
        }
    }

    /// Has the files of user-data written, by one job at a time: an older one could write after a newer one.
    pub(super) fn write_files(&mut self) {
        if self.files.writing.is_some() {
            self.files.again = true;
            return;
        }
        let files = self.with_secrets().files;
        self.files.wanted.clone_from(&files);
        self.files.writing = Some(self.start_job(Job::WriteFiles { files }));
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
