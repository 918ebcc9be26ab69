//! The secrets that the configuration refers to: read by jobs, handed to services with their sections of the configuration.

use super::generations::Answer;
use super::{Configured, Host};
use crate::control::Response;
use crate::job::{Job, PROCESS_ENDED};
use crate::task::Task;
use log::Level;
use std::borrow::Cow;
use std::collections::BTreeSet;
use tare_config::Machine;
use tare_config::machine::{CredentialName, Reference, SecretBytes, SecretValues};
use tare_config::service::Condition;
use tare_control::{Failure, ListSecrets};

/// What the secrets hold, and the jobs that are about them.
#[derive(Default)]
pub(super) struct Secrets {
    reading: Option<Task>,
    /// Whether the configuration, or a secret, has changed since that began.
    again: bool,
    values: SecretValues,
    problems: Vec<String>,
    /// What a command has asked for, and waits for.
    asked: Option<(Answer, Task)>,
}

impl Secrets {
    /// Those that are missing or useless, in sentences.
    pub(super) fn problems(&self) -> &[String] {
        &self.problems
    }

    /// Whether they are being read.
    pub(super) fn is_reading(&self) -> bool {
        self.reading.is_some()
    }
}

impl Host {
    /// The machine with what its secrets held when they were last read.
    pub(super) fn with_secrets(&self) -> Cow<'_, Machine> {
        self.machine.with_secrets(&self.secrets.values).0
    }

    /// Has the secrets read, by one job at a time; then the services get them, and files are written.
    pub(super) fn read_secrets(&mut self) {
        if self.secrets.is_reading() {
            self.secrets.again = true;
            return;
        }
        let references = self.machine.references();
        if references.is_empty() {
            return self.secrets_read(SecretValues::new());
        }
        self.secrets.reading = Some(self.start_job(Job::ReadSecrets { references }));
    }

    pub(super) fn secrets_read(&mut self, values: SecretValues) {
        self.secrets.reading = None;
        if self.ending.is_some() {
            return;
        }
        if std::mem::take(&mut self.secrets.again) {
            return self.read_secrets();
        }
        self.secrets.values = values;
        let (_, problems) = self.machine.with_secrets(&self.secrets.values);
        for problem in &problems {
            self.say(Level::Error, problem.clone());
        }
        self.secrets.problems = problems;
        let services = std::mem::take(&mut self.services);
        self.describe_services(&services);
        self.services = services;
        if self.has_to_write() {
            self.write_files();
        } else if !self.files.is_writing() {
            self.timers.storage = None;
            self.supervisor.set(Condition::StateMounted);
        }
    }

    pub(super) fn secrets_not_read(&mut self, references: BTreeSet<Reference>) {
        let why = |reference| (reference, Err(format!("cannot be read: {PROCESS_ENDED}")));
        self.secrets_read(references.into_iter().map(why).collect());
    }

    /// Sets the credential `name` on the state to the bytes that `base64` stands for.
    pub(super) fn set_secret(&mut self, name: String, base64: &str, answer: Answer) {
        match SecretBytes::from_base64(base64.as_bytes()) {
            Some(value) if value.0.len() <= SecretBytes::MAX => {
                self.save_secret(name, Some(value), answer);
            }
            _ => {
                let parameter = "value".to_owned();
                drop(answer.send(Err(Failure::InvalidParameter { parameter })));
            }
        }
    }

    /// Sets the credential `name` on the state, or removes it if there is no `value`.
    pub(super) fn save_secret(&mut self, name: String, value: Option<SecretBytes>, answer: Answer) {
        let Ok(name) = CredentialName::try_from(name) else {
            let parameter = "name".to_owned();
            return drop(answer.send(Err(Failure::InvalidParameter { parameter })));
        };
        self.ask_job(Job::SaveSecret { name, value }, answer);
    }

    pub(super) fn list_secrets(&mut self, answer: Answer) {
        self.ask_job(Job::ListSecrets, answer);
    }

    fn ask_job(&mut self, job: Job, answer: Answer) {
        if self.configured != Configured::Yes || self.secrets.asked.is_some() {
            return drop(answer.send(Err(Failure::ConfigurationBusy {})));
        }
        self.secrets.asked = Some((answer, self.start_job(job)));
    }

    /// A credential is saved or removed, or not for the reason `failed`. What refers to it gets it at once.
    pub(super) fn secret_saved(&mut self, failed: Option<String>) {
        let saved = match failed {
            Some(reason) => Err(Failure::SecretNotSaved { reason }),
            None => Ok(Response::Nothing),
        };
        let is_saved = saved.is_ok();
        self.answer_about_secrets(saved);
        if is_saved && self.ending.is_none() && !self.machine.references().is_empty() {
            self.read_secrets();
        }
    }

    pub(super) fn secrets_listed(&mut self, names: Vec<String>) {
        self.answer_about_secrets(Ok(Response::Secrets(ListSecrets { names })));
    }

    fn answer_about_secrets(&mut self, told: Result<Response, Failure>) {
        if let Some((answer, _)) = self.secrets.asked.take() {
            // The caller may be gone.
            let _ = answer.send(told);
        }
    }
}
