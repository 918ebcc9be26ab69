//! How the machine takes on a configuration: at its boot, and while it runs.

use super::{Configured, DHCP, Host, STORAGE, installed};
use crate::config::{self, Loaded};
use crate::control::Response;
use crate::job::Job;
use crate::plan;
use crate::plan::changes::{Change, Desired, between};
use crate::supervisor::Description;
use crate::task::Task;
use log::Level;
use std::collections::BTreeSet;
use tare_config::service::{Condition, Services};
use tare_control::{ApplyConfiguration, Failure, GetConfiguration};
use tokio::sync::oneshot::Sender;

/// A configuration that is being saved, to be taken on then.
pub(super) struct Applying {
    text: String,
    answer: Sender<Result<Response, Failure>>,
    _saving: Task,
}

impl Host {
    /// Reads the configuration, and adds the services that may start now.
    pub(super) fn take_configuration(&mut self) {
        let with_state = self.configured == Configured::Yes;
        let local = self.disks.local();
        let loaded = self.load(local.as_deref());
        self.report(&loaded);
        self.disks.accept(loaded.accepted);
        self.machine = loaded.machine;
        self.apply_settings();
        self.set_watchdogs();
        self.allow_others();
        self.add_services(with_state, &loaded.services);
        self.services = loaded.services;
    }

    /// The configuration of this machine with `local` as what its commands have set.
    fn load(&self, local: Option<&str>) -> Loaded {
        let (sources, remembered) = self.disks.user_data();
        let services = self.installed.services();
        config::load(&services, &sources, &remembered, local)
    }

    /// Keeps and logs what was wrong.
    fn report(&mut self, loaded: &Loaded) {
        self.rejected.clone_from(&loaded.problems);
        self.sources.clone_from(&loaded.sources);
        for (level, line) in &loaded.lines {
            self.say(*level, line.clone());
        }
    }

    /// Logs a line about the configuration, once, even if that is read again.
    pub(super) fn say(&mut self, level: Level, line: String) {
        if !self.said.contains(&line) {
            log::log!(level, "{line}");
            self.said.insert(line);
        }
    }

    /// Adds the services; without the state, only those that do not need it.
    fn add_services(&mut self, with_state: bool, services: &Services) {
        for (name, service) in services {
            let needs_state = service.lifecycle.after.contains(&Condition::StateMounted);
            if self.supervisor.knows(name) || needs_state && !with_state {
                continue;
            }
            let Some(bundle) = installed::bundle(name, service) else {
                self.broken.add(name, service.lifecycle.required);
                continue;
            };
            self.broken.remove(name);
            let sections = plan::sections::of(service, &self.machine);
            let mut setup = self.supervisor.add(name, service.clone(), bundle);
            setup.sections(sections);
            if name == DHCP {
                setup.await_arguments();
            }
        }
        // What was just added has not started yet.
        let has_log = installed::has_log(services, &self.broken);
        self.supervisor.expect_log(has_log);
    }

    /// What the machine is to be with `services` and its present leases.
    fn desired(&self, machine: &tare_config::Machine, services: &Services) -> Desired {
        let leases = &self.network.leases;
        Desired {
            facts: plan::facts::facts(machine, leases, self.disks.machine_id()),
            network: plan::network::plan(machine, self.network.links(), leases),
            services: services.clone(),
            machine: machine.clone(),
        }
    }

    /// The texts of the configuration, and the services of the image.
    pub(super) fn configuration(&self) -> GetConfiguration {
        GetConfiguration {
            sources: self.sources.clone(),
            // Every service has a JSON form.
            services: serde_json::to_value(self.installed.services()).unwrap_or_default(),
        }
    }

    /// Has `text` take the place of what commands of this machine have set: once it is saved, or not at all if
    /// `dry_run`. The answer says what that changes.
    pub(super) fn apply(
        &mut self,
        text: String,
        dry_run: bool,
        answer: Sender<Result<Response, Failure>>,
    ) {
        let (changes, same) = match self.try_local(&text) {
            Ok(tried) => tried,
            Err(failure) => return drop(answer.send(Err(failure))),
        };
        if dry_run || same {
            return drop(answer.send(Ok(told(&changes))));
        }
        let job = Job::SaveLocal { text: text.clone() };
        self.applying = Some(Applying {
            text,
            answer,
            _saving: self.start_job(job),
        });
    }

    /// What `text` in the place of what commands have set would change, and whether it is that already.
    fn try_local(&self, text: &str) -> Result<(Vec<Change>, bool), Failure> {
        if self.ending.is_some() {
            return Err(Failure::MachineEnding {});
        }
        if self.configured != Configured::Yes || self.applying.is_some() {
            return Err(Failure::ConfigurationBusy {});
        }
        let loaded = self.load(Some(text));
        if !loaded.local.is_empty() {
            let problems = loaded.local;
            return Err(Failure::ConfigurationInvalid { problems });
        }
        let old = self.desired(&self.machine, &self.services);
        let new = self.desired(&loaded.machine, &loaded.services);
        let changes = between(&old, &new, self.network.links());
        let same = self.disks.local().unwrap_or_default() == text;
        Ok((changes, same))
    }

    /// What commands have set is saved, or could not be for the reason `failed`.
    pub(super) fn local_saved(&mut self, failed: Option<String>) {
        let Some(Applying { text, answer, .. }) = self.applying.take() else {
            return;
        };
        let answered = match failed {
            Some(reason) => Err(Failure::ConfigurationNotSaved { reason }),
            None => {
                self.disks.set_local(text);
                Ok(told(&self.reconfigure()))
            }
        };
        // The caller may be gone.
        let _ = answer.send(answered);
    }

    /// Brings the machine to what its sources say now. Each part is left alone unless it changes.
    fn reconfigure(&mut self) -> Vec<Change> {
        let local = self.disks.local();
        let loaded = self.load(local.as_deref());
        let old = self.desired(&self.machine, &self.services);
        let new = self.desired(&loaded.machine, &loaded.services);
        let changes = between(&old, &new, self.network.links());
        self.report(&loaded);
        for change in &changes {
            log::info!("configuration: {change}");
        }
        let before = std::mem::replace(&mut self.machine, loaded.machine);
        if before.sysctl != self.machine.sysctl || before.modules != self.machine.modules {
            self.apply_settings();
        }
        if before.watchdog != self.machine.watchdog {
            self.set_watchdogs();
        }
        self.allow_others();
        self.describe_services(&loaded.services);
        self.services = loaded.services;
        self.write_facts();
        self.refresh_network();
        changes
    }

    /// Describes the services anew, and removes those that are not among them.
    fn describe_services(&mut self, services: &Services) {
        let names: BTreeSet<String> = self.supervisor.names().into_iter().collect();
        for name in names
            .iter()
            .filter(|name| *name != STORAGE && !services.contains_key(*name))
        {
            self.supervisor.remove(name);
        }
        for (name, service) in services {
            let Some(bundle) = installed::bundle(name, service) else {
                self.broken.add(name, service.lifecycle.required);
                continue;
            };
            let description = Description {
                service: service.clone(),
                bundle,
                sections: plan::sections::of(service, &self.machine),
            };
            self.supervisor.describe(name, description);
            if name == DHCP && !names.contains(name) {
                self.supervisor.await_arguments(name);
            }
        }
        let has_log = installed::has_log(services, &self.broken);
        self.supervisor.expect_log(has_log);
        self.supervisor.start_eligible();
    }
}

fn told(changes: &[Change]) -> Response {
    let changes = changes.iter().map(ToString::to_string).collect();
    Response::Applied(ApplyConfiguration { changes })
}
