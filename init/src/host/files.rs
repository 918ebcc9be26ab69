//! Files that user-data writes to the state partition, and the homes of users.

use super::{Host, STORAGE_TIMEOUT};
use crate::event::DiskEvent;
use crate::job::Job;
use crate::plan::users::homes;
use crate::task::Task;
use log::Level;
use std::collections::BTreeMap;
use tare_config::service::Condition;

/// The job that writes files, and what it has said.
#[derive(Default)]
pub(super) struct Files {
    writing: Option<Task>,
    /// Whether the configuration has changed since that began.
    again: bool,
    problems: Vec<String>,
}

impl Files {
    /// What could not be written, in sentences.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl Host {
    /// Lets services use the state, once homes and the files of user-data are there: they may read them when they start.
    pub(super) fn fill_state(&mut self) {
        if self.machine.files.is_empty() && homes(&self.machine).is_empty() {
            return self.supervisor.set(Condition::StateMounted);
        }
        self.write_files();
        self.timers.storage = Some(self.after(STORAGE_TIMEOUT, DiskEvent::Late));
    }

    /// Has homes made, then the files of user-data written, some of which may be in homes. By one job at a time: an older one
    /// could write after a newer one. Files of a change that waits to be confirmed are left out: no power cut would take them
    /// back.
    pub(super) fn write_files(&mut self) {
        if self.files.writing.is_some() {
            self.files.again = true;
            return;
        }
        let files = match self.generations.unconfirmed {
            None => self.machine.files.clone(),
            Some(_) => BTreeMap::new(),
        };
        let homes = homes(&self.machine);
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
        if self.files.writing.is_some() && !self.supervisor.holds(&Condition::StateMounted) {
            let seconds = STORAGE_TIMEOUT.as_secs();
            log::error!("files: not written after {seconds} s; going on without");
            self.supervisor.set(Condition::StateMounted);
        }
    }
}
