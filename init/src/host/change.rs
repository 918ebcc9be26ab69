//! Changes of the configuration that commands ask for: applied once they are saved, and kept once they are confirmed.

use super::generations::{After, Answer, Then, seconds_since_1970};
use super::{Configured, Host, STORAGE_TIMEOUT};
use crate::clock::since_boot;
use crate::config::Local;
use crate::control::Response;
use crate::effect::userdata::{LOCAL, SOURCES};
use crate::event::Expired;
use crate::job::{Job, Sources};
use crate::plan::changes::Change;
use crate::plan::generations::{Cause, History, Seen, Texts, seen, user_data};
use crate::task::Task;
use std::collections::BTreeMap;
use std::time::Duration;
use tare_control::{ApplyConfiguration, Failure};

/// How a change is to be made.
#[derive(Debug, Clone)]
pub(super) struct How {
    /// Only says what it would change.
    pub(super) dry_run: bool,
    /// It is taken back after this long unless it is confirmed.
    pub(super) confirm: Option<Duration>,
    /// Who asks.
    pub(super) uid: u32,
}

/// A change that is being saved.
pub(super) struct Saving {
    what: What,
    /// The generations with it.
    history: History,
    answer: Answer,
}

enum What {
    /// These texts take effect, for good or until the time is over.
    Change {
        number: u64,
        texts: Texts,
        /// What the sources hold, if they are what changes.
        pulled: Option<Seen>,
        confirm: Option<Duration>,
    },
    /// What is in effect stays.
    Confirmation,
}

/// A change to what the sources of user-data hold now, which are being read.
pub(super) struct Pulling {
    how: How,
    answer: Answer,
    /// Those that have not answered yet.
    reading: BTreeMap<String, Task>,
    found: Sources,
    _timer: Task,
}

/// A change that is taken back unless it is confirmed. No boot uses it: a power cut takes it back, too.
pub(super) struct Unconfirmed {
    pub(super) number: u64,
    pub(super) texts: Texts,
    pulled: Option<Seen>,
    within: Duration,
    /// Since the kernel started.
    until: Duration,
    /// Whether its confirmation is being saved.
    confirming: bool,
    _timer: Task,
}

impl Unconfirmed {
    /// Rounded up.
    pub(super) fn seconds_left(&self) -> u64 {
        let left = self.until.saturating_sub(since_boot());
        left.as_millis()
            .div_ceil(1000)
            .try_into()
            .unwrap_or(u64::MAX)
    }

    /// Refuses what cannot be done meanwhile.
    fn waits(&self) -> Failure {
        Failure::ConfigurationUnconfirmed {
            number: self.number,
            seconds: self.seconds_left(),
        }
    }

    /// Refuses to be taken for another change, if `number` is not its own.
    fn unless(&self, number: Option<u64>) -> Option<Failure> {
        let is_other = number.is_some_and(|number| number != self.number);
        is_other.then(|| self.waits())
    }
}

impl Host {
    /// Has `text` take the place of what commands of this machine have set, if generation `base` is still in force. The
    /// answer says what that changes.
    pub(super) fn apply(&mut self, text: String, base: Option<u64>, how: How, answer: Answer) {
        let number = self.generations.number();
        if base.is_some_and(|base| base != number) {
            return drop(answer.send(Err(Failure::ConfigurationChanged { number })));
        }
        let cause = Cause::Command { uid: how.uid };
        let mut texts = self.generations.texts().clone();
        match text.trim().is_empty() {
            true => drop(texts.remove(LOCAL)),
            false => drop(texts.insert(LOCAL.to_owned(), text)),
        }
        self.change(texts, cause, &how, answer);
    }

    /// The same until the next boot.
    pub(super) fn apply_once(&mut self, text: String, dry_run: bool, answer: Answer) {
        let once = Some(text).filter(|text| !text.trim().is_empty());
        let tried = self.may_change().and_then(|()| {
            let texts = self.generations.texts();
            self.try_texts(texts, once.as_deref())
        });
        let told = tried.map(|changes| {
            if dry_run || once == self.generations.once {
                return self.told(&changes);
            }
            self.generations.once = once;
            let changes = self.reconfigure();
            self.told(&changes)
        });
        // The caller may be gone.
        let _ = answer.send(told);
    }

    /// Goes back to a generation: to this one, to the good one before, or to what was before an unconfirmed change.
    pub(super) fn go_back(&mut self, number: Option<u64>, how: How, answer: Answer) {
        if number.is_none() && self.generations.unconfirmed.is_some() {
            let told = match how.dry_run {
                true => self.try_texts(&self.generations.history.texts, self.once()),
                false => self.take_back("taken back"),
            };
            let told = told.map(|changes| self.told(&changes));
            return drop(answer.send(told));
        }
        let history = &self.generations.history;
        let Some(number) = number.or_else(|| history.earlier()) else {
            return drop(answer.send(Err(Failure::NothingBefore {})));
        };
        match history.texts_of(number) {
            Some(texts) => {
                let texts = texts.clone();
                self.go_back_to(number, texts, how, answer);
            }
            None if history.known.contains_key(&number) => {
                self.read_generation(number, Then::GoBack(how, answer));
            }
            None => drop(answer.send(Err(Failure::GenerationNotFound { number }))),
        }
    }

    /// Takes on the texts of generation `to` once more.
    pub(super) fn go_back_to(&mut self, to: u64, texts: Texts, how: How, answer: Answer) {
        let cause = Cause::RollBack { uid: how.uid, to };
        self.change(texts, cause, &how, answer);
    }

    /// Takes on what the sources of user-data hold now, as the next boot would.
    pub(super) fn pull(&mut self, how: How, answer: Answer) {
        if let Err(failure) = self.may_change() {
            return drop(answer.send(Err(failure)));
        }
        let read = |source: &str| {
            let source = source.to_owned();
            let job = Job::ReadSource {
                source: source.clone(),
            };
            (source, self.start_job(job))
        };
        self.generations.pulling = Some(Pulling {
            how,
            answer,
            reading: SOURCES.into_iter().map(read).collect(),
            found: Sources::new(),
            _timer: self.after(STORAGE_TIMEOUT, Expired::Pull),
        });
    }

    /// A source was read, or could not be. Returns whether that was for a change.
    pub(super) fn pulled(&mut self, source: &str, held: Option<Result<Vec<u8>, String>>) -> bool {
        let Some(pulling) = &mut self.generations.pulling else {
            return false;
        };
        if pulling.reading.remove(source).is_none() {
            return false;
        }
        if let Some(held) = held {
            pulling.found.insert(source.to_owned(), held);
        }
        if pulling.reading.is_empty() {
            if let Some(pulled) = self.generations.pulling.take() {
                self.take_on(pulled);
            }
        }
        true
    }

    /// The sources have not answered in time.
    pub(super) fn pull_over(&mut self) {
        if let Some(pulling) = self.generations.pulling.take() {
            let seconds = STORAGE_TIMEOUT.as_secs();
            let names = pulling.reading.keys();
            let problems = names.map(|name| format!("{name} has not answered after {seconds} s"));
            let problems = problems.collect();
            // The caller may be gone.
            let _ = pulling
                .answer
                .send(Err(Failure::ConfigurationInvalid { problems }));
        }
    }

    fn take_on(&mut self, pulling: Pulling) {
        let Pulling {
            how, answer, found, ..
        } = pulling;
        let texts = self.generations.texts();
        let local = Local {
            saved: texts.get(LOCAL).map(String::as_str),
            once: self.once(),
            cmdline: self.cmdline(),
        };
        let loaded = self.load(&found, &user_data(texts), local);
        let tried = match loaded.unusable.is_empty() {
            true => self
                .may_change()
                .and_then(|()| self.try_texts(&loaded.texts(), self.once())),
            false => Err(Failure::ConfigurationInvalid {
                problems: loaded.unusable.clone(),
            }),
        };
        let changes = match tried {
            Ok(changes) => changes,
            Err(failure) => return drop(answer.send(Err(failure))),
        };
        let mut history = self.generations.history.clone();
        let (texts, now) = (loaded.texts(), seconds_since_1970());
        // Where only the sources count again, there is nothing that could be taken back.
        let confirm = how.confirm.filter(|_| texts != history.texts);
        let save = match confirm {
            None => history.pull(texts.clone(), &found, how.uid, now),
            Some(_) => history.propose(texts.clone(), Cause::Command { uid: how.uid }, now),
        };
        if how.dry_run || history == self.generations.history {
            return drop(answer.send(Ok(self.told(&changes))));
        }
        self.unusable.clear();
        let what = What::Change {
            number: confirm.map_or(history.index.chosen, |_| history.newest()),
            texts,
            pulled: Some(seen(&found)),
            confirm,
        };
        let saving = Saving {
            what,
            history,
            answer,
        };
        self.save(save, After::Change(Box::new(saving)));
    }

    /// Takes on `texts` once they are saved.
    fn change(&mut self, texts: Texts, cause: Cause, how: &How, answer: Answer) {
        let tried = self
            .may_change()
            .and_then(|()| self.try_texts(&texts, self.once()));
        let changes = match tried {
            Ok(changes) => changes,
            Err(failure) => return drop(answer.send(Err(failure))),
        };
        if how.dry_run || texts == *self.generations.texts() {
            return drop(answer.send(Ok(self.told(&changes))));
        }
        let mut history = self.generations.history.clone();
        let save = match how.confirm {
            None => history.add(texts.clone(), cause, seconds_since_1970()),
            Some(_) => history.propose(texts.clone(), cause, seconds_since_1970()),
        };
        let what = What::Change {
            number: history.newest(),
            texts,
            pulled: None,
            confirm: how.confirm,
        };
        let saving = Saving {
            what,
            history,
            answer,
        };
        self.save(save, After::Change(Box::new(saving)));
    }

    /// Keeps the change that waits for its confirmation, which must be `number` if that is given.
    pub(super) fn confirm(&mut self, number: Option<u64>, answer: Answer) {
        if self.generations.is_changing() {
            return drop(answer.send(Err(Failure::ConfigurationBusy {})));
        }
        let history = self.generations.history.clone();
        let Some(unconfirmed) = self.generations.unconfirmed.as_mut() else {
            return drop(answer.send(Err(Failure::NothingToConfirm {})));
        };
        if let Some(other) = unconfirmed.unless(number) {
            return drop(answer.send(Err(other)));
        }
        unconfirmed.confirming = true;
        let mut saving = Saving {
            what: What::Confirmation,
            history,
            answer,
        };
        let texts = unconfirmed.texts.clone();
        let (number, pulled) = (unconfirmed.number, unconfirmed.pulled.clone());
        let save = saving.history.confirm(number, texts, pulled);
        self.save(save, After::Change(Box::new(saving)));
    }

    /// A change is saved, or could not be for the reason `failed`.
    pub(super) fn change_saved(&mut self, saving: Saving, failed: Option<String>) {
        let Saving {
            what,
            history,
            answer,
        } = saving;
        let told = match (what, failed) {
            (What::Change { number, .. }, Some(reason)) => {
                self.keep_saved(number);
                Err(Failure::ConfigurationNotSaved { reason })
            }
            (What::Confirmation, Some(reason)) => {
                self.keep_saved(0);
                self.not_confirmed();
                Err(Failure::ConfigurationNotSaved { reason })
            }
            (
                What::Change {
                    number,
                    texts,
                    pulled,
                    confirm,
                },
                None,
            ) => {
                self.generations.history = history;
                self.generations.unconfirmed =
                    confirm.map(|within| self.unconfirmed(number, texts, pulled, within));
                if self.generations.unconfirmed.is_none() {
                    // Whoever made it is there to see what it does.
                    self.generations.end_trial();
                }
                let changes = self.reconfigure();
                Ok(self.told(&changes))
            }
            (What::Confirmation, None) => {
                self.generations.history = history;
                self.generations.unconfirmed = None;
                self.generations.end_trial();
                self.write_files();
                Ok(self.told(&[]))
            }
        };
        // The caller may be gone.
        let _ = answer.send(told);
    }

    fn unconfirmed(
        &self,
        number: u64,
        texts: Texts,
        pulled: Option<Seen>,
        within: Duration,
    ) -> Unconfirmed {
        Unconfirmed {
            number,
            texts,
            pulled,
            within,
            until: since_boot() + within,
            confirming: false,
            _timer: self.after(within, Expired::Confirmation),
        }
    }

    /// The time to confirm a change is over.
    pub(super) fn confirmation_over(&mut self) {
        let over = |unconfirmed: &&Unconfirmed| {
            !unconfirmed.confirming && unconfirmed.until <= since_boot()
        };
        let Some(unconfirmed) = self.generations.unconfirmed.as_ref().filter(over) else {
            return;
        };
        let seconds = unconfirmed.within.as_secs();
        let why = format!("not confirmed within {seconds} s");
        if self.ending.is_none() {
            // Without a caller there is nobody to tell.
            let _ = self.take_back(&why);
        }
    }

    /// A confirmation could not be saved: the change is taken back when its time is over, which may be now.
    fn not_confirmed(&mut self) {
        if let Some(unconfirmed) = &mut self.generations.unconfirmed {
            unconfirmed.confirming = false;
        }
        self.confirmation_over();
    }

    /// Takes back the change that waits for its confirmation.
    fn take_back(&mut self, why: &str) -> Result<Vec<Change>, Failure> {
        if self.generations.is_changing() {
            return Err(Failure::ConfigurationBusy {});
        }
        let Some(unconfirmed) = self.generations.unconfirmed.take() else {
            return Err(Failure::NothingToConfirm {});
        };
        let number = unconfirmed.number;
        let save = self.generations.history.reject(number, why.to_owned());
        log::warn!("configuration {number}: {why}; going back");
        self.save(save, After::Nothing);
        Ok(self.reconfigure())
    }

    /// Whether the configuration can be changed now.
    fn may_change(&self) -> Result<(), Failure> {
        if self.ending.is_some() {
            return Err(Failure::MachineEnding {});
        }
        let changing = self.generations.is_changing() || self.generations.pulling.is_some();
        if self.configured != Configured::Yes || changing {
            return Err(Failure::ConfigurationBusy {});
        }
        match &self.generations.unconfirmed {
            Some(unconfirmed) => Err(unconfirmed.waits()),
            None => Ok(()),
        }
    }

    fn once(&self) -> Option<&str> {
        self.generations.once.as_deref()
    }

    fn told(&self, changes: &[Change]) -> Response {
        Response::Applied(ApplyConfiguration {
            changes: changes.iter().map(ToString::to_string).collect(),
            number: self.generations.number(),
            unconfirmed: self
                .generations
                .unconfirmed
                .as_ref()
                .map(Unconfirmed::seconds_left),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::task::LocalSet;

    #[tokio::test]
    async fn a_number_confirms_no_other_change() {
        let work = async {
            let unconfirmed = Unconfirmed {
                number: 7,
                texts: Texts::new(),
                pulled: None,
                within: Duration::ZERO,
                until: Duration::ZERO,
                confirming: false,
                _timer: Task::spawn(async {}),
            };
            [None, Some(7), Some(6)].map(|number| unconfirmed.unless(number))
        };
        let other = Failure::ConfigurationUnconfirmed {
            number: 7,
            seconds: 0,
        };
        let got = LocalSet::new().run_until(work).await;
        assert_eq!(got, [None, None, Some(other)]);
    }
}
