//! Stops all services, in reverse order.

use super::Supervisor;
use super::state;
use crate::plan::services::{Services, stops_after};
use std::collections::{BTreeMap, BTreeSet};

/// Which services must have ended before others are stopped.
#[derive(Debug)]
pub(crate) struct Ending {
    /// By service: those that it still waits for.
    waits_for: BTreeMap<String, BTreeSet<String>>,
    /// By service: those that wait for it.
    awaited_by: BTreeMap<String, Vec<String>>,
}

impl Ending {
    fn of(services: &Services) -> Self {
        let mut waits_for = BTreeMap::new();
        let mut awaited_by: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in services.keys() {
            let others: BTreeSet<String> = stops_after(name, services)
                .into_iter()
                .map(str::to_owned)
                .collect();
            for other in &others {
                awaited_by
                    .entry(other.clone())
                    .or_default()
                    .push(name.clone());
            }
            waits_for.insert(name.clone(), others);
        }
        Self {
            waits_for,
            awaited_by,
        }
    }

    /// Records that `name` has ended. Returns the services that waited only for it.
    fn ended(&mut self, name: &str) -> Vec<String> {
        let mut free = Vec::new();
        for other in self.awaited_by.remove(name).unwrap_or_default() {
            let waits = self.waits_for.get_mut(&other);
            if waits.is_some_and(|waits| waits.remove(name) && waits.is_empty()) {
                free.push(other);
            }
        }
        free
    }

    /// The services that wait for no other.
    fn free(&self) -> Vec<String> {
        let free = self.waits_for.iter().filter(|(_, waits)| waits.is_empty());
        free.map(|(name, _)| name.clone()).collect()
    }
}

impl Supervisor {
    /// Begins to stop all services, in reverse order.
    pub(crate) fn begin_end(&mut self) {
        let services: Services = self
            .units
            .iter()
            .map(|(name, unit)| (name.clone(), unit.service.clone()))
            .collect();
        let ending = Ending::of(&services);
        let first = ending.free();
        self.ending = Some(ending);
        // Services that do not run delay no others.
        for name in services.keys() {
            self.ended_meanwhile(name);
        }
        for name in first {
            self.end(&name);
        }
    }

    /// Whether every service has ended.
    pub(crate) fn all_ended(&self) -> bool {
        self.units.values().all(|unit| !unit.life.is_running())
    }

    fn end(&mut self, name: &str) {
        self.happen(name, state::Event::StopRequested { again: false });
    }

    /// Stops the services that waited for `name`, if it has ended.
    pub(super) fn ended_meanwhile(&mut self, name: &str) {
        let ended = |name: &str| {
            let unit = self.units.get(name);
            unit.is_none_or(|unit| !unit.life.is_running())
        };
        if self.ending.is_none() || !ended(name) {
            return;
        }
        // Nothing writes there any more, and the log may end its last line.
        if let Some(unit) = self.units.get_mut(name) {
            unit.output = None;
        }
        let free = self.ending.as_mut().map(|ending| ending.ended(name));
        for name in free.into_iter().flatten() {
            self.end(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_ends_when_the_last_that_waited_for_it_has_ended() {
        let service = |after: &str| {
            let text =
                format!("description='x'\nprocess={{args=['/x']}}\nlifecycle.after=[{after}]");
            tare_config::parse("t", text.as_bytes()).unwrap()
        };
        let services = BTreeMap::from([
            ("a".to_owned(), service("")),
            ("b".to_owned(), service("'a:ready'")),
            ("c".to_owned(), service("'a:ready','b:ready'")),
        ]);
        let mut ending = Ending::of(&services);
        assert_eq!(ending.free(), ["c"]);
        assert_eq!(ending.ended("c"), ["b"]);
        assert_eq!(ending.ended("c"), [""; 0]);
        assert_eq!(ending.ended("b"), ["a"]);
        assert_eq!(ending.ended("a"), [""; 0]);
    }
}
