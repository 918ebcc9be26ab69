//! Facts about the machine, in files for its services.

use super::Host;
use crate::effect::facts;
use crate::plan;
use crate::plan::facts::{Fact, MOTD, hostname};

impl Host {
    pub(super) fn write_facts(&mut self) {
        let name = hostname(&self.machine, &self.network.leases);
        nix::unistd::sethostname(&name).unwrap_or_else(|error| log::error!("hostname: {error}"));
        let mut facts =
            plan::facts::facts(&self.machine, &self.network.leases, self.disks.machine_id());
        // Who logs in to a machine that runs with an old configuration is told before anything else.
        if let Some(problem) = self.generations.history.problem() {
            let motd = facts.iter_mut().find(|fact| fact.name == MOTD);
            motd.into_iter()
                .for_each(|motd| motd.text += &format!("{problem}\n"));
        }
        self.write(facts);
    }

    /// Writes the facts that have changed, and restarts the services that depend on them.
    pub(super) fn write(&mut self, facts: Vec<Fact>) {
        let written = |fact: &Fact| self.facts.get(fact.name) == Some(&fact.text);
        let changed: Vec<Fact> = facts.into_iter().filter(|fact| !written(fact)).collect();
        if changed.is_empty() {
            return;
        }
        if let Err(error) = facts::write(&changed) {
            log::error!("facts: {error}");
            return;
        }
        for fact in changed {
            self.facts.insert(fact.name, fact.text);
            self.supervisor.fact_changed(fact.name);
        }
    }
}
