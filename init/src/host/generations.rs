//! The generations of the configuration as PID 1 keeps them: saved one change after the other, in the background.

use super::change::{How, Pulling, Saving, Unconfirmed};
use super::{Configured, Host, STORAGE_TIMEOUT};
use crate::config::{Loaded, Local};
use crate::control::Response;
use crate::effect::userdata::LOCAL;
use crate::event::{DiskEvent, Expired};
use crate::job::Job;
use crate::plan::generations::{Cause, Follows, Generation, History, Save, Texts, Verdict};
use crate::task::Task;
use std::collections::VecDeque;
use std::time::{Duration, SystemTime};
use tare_control::{self as control, Failure, GetGenerations};
use tokio::sync::oneshot::Sender;

/// Where an answer to the control socket goes.
pub(super) type Answer = Sender<Result<Response, Failure>>;

/// A generation is given up for the last good one if the machine is not ready with it this long after its boot was
/// configured, or a minute after its required services may take to start.
const TRIAL: Duration = Duration::from_secs(180);
const MINUTE: Duration = Duration::from_secs(60);

/// The generations, and what is under way with them.
#[derive(Default)]
pub(super) struct Generations {
    pub(super) history: History,
    /// What is to be saved, in order; the first one is being saved.
    saves: VecDeque<(Save, After)>,
    saving: Option<Task>,
    /// What this boot is configured with once it is saved that it tries that.
    prepared: Option<Box<Loaded>>,
    pub(super) unconfirmed: Option<Unconfirmed>,
    pub(super) pulling: Option<Pulling>,
    /// What commands have set until the next boot.
    pub(super) once: Option<String>,
    /// Generations that are being read, and what for.
    reading: Vec<(u64, Then, Task)>,
    /// The wait for a generation on trial.
    trial: Option<Task>,
}

/// What a save is for.
pub(super) enum After {
    /// Nothing waits for it.
    Nothing,
    /// A command waits for it.
    Change(Box<Saving>),
}

/// What a generation is read for.
pub(super) enum Then {
    Show(Answer),
    GoBack(How, Answer),
}

impl Generations {
    /// The texts in force, but those until the next boot.
    pub(super) fn texts(&self) -> &Texts {
        let unconfirmed = self.unconfirmed.as_ref();
        unconfirmed.map_or(&self.history.texts, |unconfirmed| &unconfirmed.texts)
    }

    /// The number of the generation in force.
    pub(super) fn number(&self) -> u64 {
        let unconfirmed = self.unconfirmed.as_ref();
        unconfirmed.map_or(self.history.index.chosen, |unconfirmed| unconfirmed.number)
    }

    /// What is in force stays, whether the machine becomes ready or not: somebody has just chosen it.
    pub(super) fn end_trial(&mut self) {
        self.trial = None;
    }

    /// Whether this boot waits to be saved.
    pub(super) fn is_prepared(&self) -> bool {
        self.prepared.is_some()
    }

    /// Whether something is being saved.
    pub(super) fn is_saving(&self) -> bool {
        !self.saves.is_empty()
    }

    /// Whether a command waits for its change to be saved.
    pub(super) fn is_changing(&self) -> bool {
        let mut saves = self.saves.iter();
        saves.any(|(_, after)| matches!(after, After::Change(_)))
    }
}

impl Host {
    /// Reads the configuration of this boot, and takes it on; first saves that, if the generation is on trial: the next
    /// boot has to know if this one ends in the middle.
    pub(super) fn prepare(&mut self) {
        self.timers.storage = None;
        let mut history = self.disks.take_history();
        let before = history.index.clone();
        let found = history.fall_back_at_boot(self.disks.found().clone());
        let (sources, kept) = history.at_boot(&found);
        let local = Local {
            saved: history.texts.get(LOCAL).map(String::as_str),
            once: None,
            cmdline: self.cmdline(),
        };
        let loaded = self.load(&sources, &kept, local);
        let save = history.boot(loaded.texts(), &found, seconds_since_1970());
        match (history.problem(), &history.index.follows) {
            (Some(problem), _) => log::error!("{problem}"),
            (None, Follows::RollBack) => log::info!(
                "configuration {}: somebody went back; user-data counts again once it is new",
                history.index.chosen
            ),
            (None, _) => {}
        }
        let (changes, trial) = (history.index != before, history.is_trial());
        self.generations.history = history;
        if changes {
            self.save(save, After::Nothing);
        }
        match changes && trial {
            true => {
                self.generations.prepared = Some(Box::new(loaded));
                self.timers.storage = Some(self.after(STORAGE_TIMEOUT, DiskEvent::Late));
            }
            false => self.configure(loaded),
        }
    }

    /// Takes on what was prepared, if something was. Returns whether it was.
    pub(super) fn configure_prepared(&mut self) -> bool {
        let waits = self.configured != Configured::Yes && self.ending.is_none();
        match self.generations.prepared.take() {
            Some(loaded) if waits => {
                self.timers.storage = None;
                self.configure(*loaded);
                true
            }
            _ => false,
        }
    }

    /// Waits for the machine to be ready, if its generation is on trial.
    pub(super) fn begin_trial(&mut self) {
        if self.generations.history.is_trial() {
            let trial = self.after(self.patience(), Expired::Trial);
            self.generations.trial = Some(trial);
        }
    }

    /// How long the machine may take to be ready with a generation on trial.
    fn patience(&self) -> Duration {
        let required = self.services.values().map(|service| &service.lifecycle);
        let required = required.filter(|lifecycle| lifecycle.required);
        let timeouts = required.filter_map(|lifecycle| lifecycle.start_timeout());
        let longest = timeouts.map(|timeout| timeout.0 + MINUTE).max();
        longest.unwrap_or_default().max(TRIAL)
    }

    /// The machine was not ready in time with a generation on trial: the last good one takes its place.
    pub(super) fn trial_over(&mut self) {
        let armed = self.generations.trial.take().is_some();
        let settled = !self.generations.history.is_trial() || self.missing().is_empty();
        if !armed || settled || self.ending.is_some() {
            return;
        }
        if self.has_change() {
            // It may be taken back.
            self.generations.trial = Some(self.after(MINUTE, Expired::Trial));
            return;
        }
        let missing = self.missing().join(", ");
        let seconds = self.patience().as_secs();
        let why = format!("not ready after {seconds} s: {missing}");
        if self.generations.history.fall_back(why) {
            let save = self.generations.history.kept();
            self.save(save, After::Nothing);
            if let Some(problem) = self.generations.history.problem() {
                log::error!("{problem}");
            }
            self.reconfigure();
        }
    }

    /// Whether a change waits to be saved or to be confirmed.
    pub(super) fn has_change(&self) -> bool {
        self.generations.unconfirmed.is_some() || self.generations.is_changing()
    }

    /// Remembers that the machine is ready with its generation, if it is.
    pub(super) fn settle(&mut self) {
        // With what is set until the next boot alone, nothing is known of that one.
        let whole = self.generations.once.is_none();
        let open =
            self.configured == Configured::Yes && whole && !self.generations.history.is_good();
        if open && self.ready && !self.has_change() && self.missing().is_empty() {
            self.generations.trial = None;
            let save = self.generations.history.ready();
            self.save(save, After::Nothing);
        }
    }

    /// Somebody has asked the machine to end: that it was not ready says nothing about its generation.
    pub(super) fn forgive_boot(&mut self) {
        if self.generations.is_changing() {
            // That comes with a history of its own, which forgives once it is saved.
            return;
        }
        if let Some(save) = self.generations.history.forgive() {
            self.save(save, After::Nothing);
        }
    }

    /// A save has failed, but may be on the disk all the same: what is in force is written again. The number that it had is
    /// not given to another generation.
    pub(super) fn keep_saved(&mut self, number: u64) {
        self.generations.history.skip(number);
        let save = self.generations.history.kept();
        self.save(save, After::Nothing);
    }

    /// Saves what has changed, after what is being saved.
    pub(super) fn save(&mut self, save: Save, after: After) {
        self.generations.saves.push_back((save, after));
        if self.generations.saves.len() == 1 {
            self.save_next();
        }
    }

    fn save_next(&mut self) {
        let next = self.generations.saves.front();
        let job = next.map(|(save, _)| Job::SaveGenerations(Box::new(save.clone())));
        self.generations.saving = job.map(|job| self.start_job(job));
    }

    /// The first of what waited is saved, or could not be for the reason `failed`.
    pub(super) fn generations_saved(&mut self, failed: Option<String>) {
        let Some((_, after)) = self.generations.saves.pop_front() else {
            return;
        };
        self.save_next();
        match (after, failed) {
            (After::Change(saving), failed) => self.change_saved(*saving, failed),
            (After::Nothing, Some(error)) => log::error!("configuration: not saved: {error}"),
            (After::Nothing, None) => {}
        }
        self.configure_prepared();
        if self.ending.is_some() {
            self.forgive_boot();
        }
    }

    /// Reads a generation that is not in memory.
    pub(super) fn read_generation(&mut self, number: u64, then: Then) {
        let task = self.start_job(Job::ReadGeneration { number });
        self.generations.reading.push((number, then, task));
    }

    pub(super) fn generation_read(&mut self, number: u64, read: Result<Box<Generation>, String>) {
        let mut waiting = self.generations.reading.iter();
        let Some(at) = waiting.position(|(reading, ..)| *reading == number) else {
            return;
        };
        let (_, then, _) = self.generations.reading.remove(at);
        let read = read.map(|generation| generation.texts).map_err(|reason| {
            log::error!("configuration {number}: {reason}");
            Failure::GenerationNotFound { number }
        });
        match (then, read) {
            (Then::Show(answer) | Then::GoBack(_, answer), Err(failure)) => {
                drop(answer.send(Err(failure)));
            }
            (Then::Show(answer), Ok(texts)) => drop(answer.send(Ok(shown(&texts)))),
            (Then::GoBack(how, answer), Ok(texts)) => self.go_back_to(number, texts, how, answer),
        }
    }

    /// Answers with the texts of a generation.
    pub(super) fn show_generation(&mut self, number: u64, answer: Answer) {
        let history = &self.generations.history;
        match history.texts_of(number) {
            Some(texts) => drop(answer.send(Ok(shown(texts)))),
            None if history.known.contains_key(&number) => {
                self.read_generation(number, Then::Show(answer));
            }
            None => drop(answer.send(Err(Failure::GenerationNotFound { number }))),
        }
    }

    /// All generations.
    pub(super) fn list_generations(&self) -> GetGenerations {
        let history = &self.generations.history;
        let unconfirmed = self.generations.unconfirmed.as_ref();
        let waits = |number: u64| unconfirmed.is_some_and(|one| one.number == number);
        let generations = history.known.values().map(|about| {
            let (uid, rollback_of) = match about.cause {
                Cause::Boot => (None, None),
                Cause::Command { uid } => (Some(uid), None),
                Cause::RollBack { uid, to } => (Some(uid), Some(to)),
            };
            let (verdict, reason) = match history.verdict(about.number) {
                _ if waits(about.number) => (control::Verdict::Untried, None),
                Verdict::Good => (control::Verdict::Good, None),
                Verdict::Tried(_) => (control::Verdict::Untried, None),
                Verdict::Bad(why) => (control::Verdict::Bad, Some(why)),
            };
            control::Generation {
                number: about.number,
                time: about.time,
                base: about.base,
                sources: about.changed.clone(),
                uid,
                rollback_of,
                verdict,
                reason,
                running: about.number == self.generations.number(),
            }
        });
        GetGenerations {
            generations: generations.collect(),
            unconfirmed: unconfirmed.map(Unconfirmed::seconds_left),
        }
    }
}

fn shown(texts: &Texts) -> Response {
    let source = |(name, text): (&String, &String)| control::Source {
        name: name.clone(),
        text: text.clone(),
    };
    Response::Generation(control::GetGeneration {
        sources: texts.iter().map(source).collect(),
    })
}

/// By the machine's clock, which may be wrong early in a boot.
pub(super) fn seconds_since_1970() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
