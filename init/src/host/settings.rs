//! The kernel's settings of the configuration: modules, and what is below `/proc/sys`.

use super::Host;
use crate::job::Job;
use crate::task::Task;
use log::Level;
use std::collections::BTreeMap;

/// The job that applies settings, and what it has said.
#[derive(Default)]
pub(super) struct Settings {
    applying: Option<Task>,
    /// Whether the configuration has changed since that began.
    again: bool,
    /// What settings were before the configuration first said something about them.
    originals: BTreeMap<String, String>,
    /// What the kernel refuses, in sentences.
    problems: Vec<String>,
}

impl Settings {
    /// What the kernel refuses, in sentences.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl Host {
    /// Has the kernel's settings of the machine applied, by one job at a time: an older one could write after a newer
    /// one. What the configuration says nothing about any more becomes what it was.
    pub(super) fn apply_settings(&mut self) {
        if self.settings.applying.is_some() {
            self.settings.again = true;
            return;
        }
        let wanted = self.machine.sysctl.0.clone();
        let mut sysctl = self.settings.originals.clone();
        sysctl.extend(wanted);
        let job = Job::Settings {
            modules: self.machine.modules.clone(),
            sysctl,
        };
        self.settings.applying = Some(self.start_job(job));
    }

    /// They are applied but for what was `refused`; what they were before is in `originals`.
    pub(super) fn settings_applied(
        &mut self,
        refused: Vec<String>,
        originals: BTreeMap<String, String>,
    ) {
        for problem in &refused {
            self.say(Level::Error, problem.clone());
        }
        self.settings.problems = refused;
        for (name, value) in originals {
            self.settings.originals.entry(name).or_insert(value);
        }
        // What has its own value again need not be kept.
        let wanted = &self.machine.sysctl.0;
        self.settings
            .originals
            .retain(|name, _| wanted.contains_key(name));
        self.settings.applying = None;
        if std::mem::take(&mut self.settings.again) {
            self.apply_settings();
        }
    }
}
