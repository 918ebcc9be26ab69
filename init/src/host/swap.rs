//! The machine's swap.

use super::Host;
use crate::job::Job;
use crate::task::Task;
use log::Level;

/// The job that changes swap, and what it has said.
#[derive(Default)]
pub(super) struct Swapping {
    changing: Option<Task>,
    /// Whether the configuration has changed since that began.
    again: bool,
    /// Whether there may be some.
    has_any: bool,
    problems: Vec<String>,
}

impl Swapping {
    /// What failed, in sentences.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }
}

impl Host {
    /// Has swap changed to what the configuration says, by one job at a time.
    pub(super) fn set_swap(&mut self) {
        if self.swap.changing.is_some() {
            self.swap.again = true;
            return;
        }
        let swap = self.machine.swap;
        let wants_any = swap != tare_config::machine::Swap::default();
        if wants_any || self.swap.has_any || self.disks.has_swap_file() {
            self.swap.has_any = true;
            let volatile = self.disks.volatile();
            self.swap.changing = Some(self.start_job(Job::SetSwap { swap, volatile }));
        }
    }

    pub(super) fn swap_set(&mut self, problems: Vec<String>) {
        for problem in &problems {
            self.say(Level::Error, problem.clone());
        }
        self.swap.problems = problems;
        self.swap.changing = None;
        if std::mem::take(&mut self.swap.again) {
            self.set_swap();
        }
    }
}
