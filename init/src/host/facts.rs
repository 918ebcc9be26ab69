//! Facts about the machine, in files for its services.

use super::Host;
use crate::effect::{facts, zones};
use crate::plan;
use crate::plan::facts::{Fact, MOTD, TIME_ZONE, hostname};
use crate::plan::users;
use std::collections::BTreeSet;

impl Host {
    pub(super) fn write_facts(&mut self) {
        let name = hostname(&self.machine, &self.network.leases);
        nix::unistd::sethostname(&name).unwrap_or_else(|error| log::error!("hostname: {error}"));
        let mut facts =
            plan::facts::facts(&self.machine, &self.network.leases, self.disks.machine_id());
        self.forget_users(&facts);
        // Who logs in to a machine that runs with an old configuration is told before anything else.
        if let Some(problem) = self.generations.history.problem() {
            let motd = facts.iter_mut().find(|fact| fact.name == MOTD);
            motd.into_iter()
                .for_each(|motd| motd.text += &format!("{problem}\n"));
        }
        self.write(facts);
    }

    /// Removes the facts about users who are not among `facts`.
    fn forget_users(&mut self, facts: &[Fact]) {
        let stay: BTreeSet<&str> = facts.iter().map(|fact| fact.name.as_str()).collect();
        let gone = self.facts.keys();
        let gone: Vec<String> = gone
            .filter(|name| users::is_of_one(name) && !stay.contains(name.as_str()))
            .cloned()
            .collect();
        for name in gone {
            match facts::remove(&name) {
                Ok(()) => drop(self.facts.remove(&name)),
                Err(error) => log::error!("facts: {name}: {error}"),
            }
        }
    }

    /// Writes the facts that have changed, and restarts the services that depend on them.
    pub(super) fn write(&mut self, facts: Vec<Fact>) {
        let written = |fact: &Fact| self.facts.get(&fact.name) == Some(&fact.text);
        let changed: Vec<Fact> = facts.into_iter().filter(|fact| !written(fact)).collect();
        if changed.is_empty() {
            return;
        }
        if let Err(error) = facts::write(&changed) {
            log::error!("facts: {error}");
            return;
        }
        if changed.iter().any(|fact| fact.name == TIME_ZONE) {
            let written = zones::write(self.machine.time.zone.as_ref());
            written.unwrap_or_else(|error| log::error!("time zone: {error}"));
        }
        for fact in changed {
            self.supervisor.fact_changed(&fact.name);
            self.facts.insert(fact.name, fact.text);
        }
    }
}
