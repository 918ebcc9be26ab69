//! How the machine takes on a configuration: at its boot, and while it runs.

use super::{Configured, DHCP, Host, STORAGE, installed};
use crate::config::{self, Loaded, Local};
use crate::effect::userdata::LOCAL;
use crate::job::Sources;
use crate::kmsg;
use crate::plan;
use crate::plan::changes::{Change, Desired, between};
use crate::plan::generations::{Kept, Texts, usable, user_data};
use crate::plan::sections::All;
use crate::supervisor::Description;
use log::Level;
use std::collections::BTreeSet;
use tare_config::machine::LogLevel;
use tare_config::service::{Condition, Services};
use tare_control::{Failure, GetConfiguration};

impl Host {
    /// Takes on a configuration at the boot, and adds the services that may start now.
    ///
    /// If the state came late, some run already, as described without what is kept there.
    pub(super) fn take_configuration(&mut self, loaded: Loaded, some_run: bool) {
        let with_state = self.configured == Configured::Yes;
        self.unusable.clone_from(&loaded.unusable);
        self.report(&loaded);
        self.machine = loaded.machine;
        self.apply_settings();
        self.set_log_level();
        self.set_swap();
        self.set_watchdogs();
        self.allow_others();
        match some_run {
            true => self.describe_services(&loaded.services),
            false => self.add_services(with_state, &loaded.services),
        }
        self.services = loaded.services;
        self.disabled = tare_config::disabled(&self.installed.services(), &self.machine);
    }

    /// The configuration of these sources.
    pub(super) fn load(&self, sources: &Sources, kept: &Kept, local: Local<'_>) -> Loaded {
        config::load(&self.installed.services(), sources, kept, local)
    }

    /// The configuration of a generation, and of what is set until the next boot.
    fn load_texts(&self, texts: &Texts, once: Option<&str>) -> Loaded {
        let local = Local {
            saved: texts.get(LOCAL).map(String::as_str),
            once,
            cmdline: self.cmdline(),
        };
        self.load(&usable(user_data(texts)), &Kept::new(), local)
    }

    /// What the kernel's command line sets, if it sets anything.
    pub(super) fn cmdline(&self) -> Option<&str> {
        Some(self.cmdline.as_str()).filter(|text| !text.is_empty())
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
        self.sections = All::of(&self.with_secrets());
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
            let sections = self.sections.read_by(service);
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
            number: self.generations.number(),
            // Every service has a JSON form.
            services: serde_json::to_value(self.installed.services()).unwrap_or_default(),
        }
    }

    /// What these texts would change.
    pub(super) fn try_texts(
        &self,
        texts: &Texts,
        once: Option<&str>,
    ) -> Result<Vec<Change>, Failure> {
        let loaded = self.load_texts(texts, once);
        if !loaded.local.is_empty() {
            let problems = loaded.local;
            return Err(Failure::ConfigurationInvalid { problems });
        }
        let old = self.desired(&self.machine, &self.services);
        let new = self.desired(&loaded.machine, &loaded.services);
        Ok(between(&old, &new, self.network.links()))
    }

    /// Brings the machine to the texts in force. Each part is left alone unless it changes.
    pub(super) fn reconfigure(&mut self) -> Vec<Change> {
        let loaded = self.load_texts(self.generations.texts(), self.generations.once.as_deref());
        let old = self.desired(&self.machine, &self.services);
        let new = self.desired(&loaded.machine, &loaded.services);
        let changes = between(&old, &new, self.network.links());
        self.report(&loaded);
        self.rejected.extend(self.unusable.iter().cloned());
        // Lines about a configuration that is no more are said again if it comes back.
        self.said = loaded.lines.iter().map(|(_, line)| line.clone()).collect();
        for change in &changes {
            log::info!("configuration: {change}");
        }
        let before = std::mem::replace(&mut self.machine, loaded.machine);
        if before.sysctl != self.machine.sysctl || before.modules != self.machine.modules {
            self.apply_settings();
        }
        if before.kernel != self.machine.kernel {
            self.set_log_level();
        }
        if before.swap != self.machine.swap {
            self.set_swap();
        }
        if before.watchdog != self.machine.watchdog {
            self.set_watchdogs();
        }
        self.allow_others();
        self.services = loaded.services;
        self.disabled = tare_config::disabled(&self.installed.services(), &self.machine);
        // Services start once more at most: what refers to secrets gets them with the rest.
        self.read_secrets();
        self.write_facts();
        self.refresh_network();
        changes
    }

    /// Has the console show what the configuration says.
    fn set_log_level(&self) {
        let level = self.machine.kernel.log_level;
        kmsg::show(level.map(LogLevel::console));
    }

    /// Describes the services anew, and removes those that are not among them.
    pub(super) fn describe_services(&mut self, services: &Services) {
        self.sections = All::after(&self.sections, &self.with_secrets());
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
                sections: self.sections.read_by(service),
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
