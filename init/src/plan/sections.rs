//! The sections of the machine's configuration that services ask to read.

use super::generations::fingerprint;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tare_config::{Machine, Service};

/// A section. All services that read it share it: each of a thousand apps reads what all apps are.
#[derive(Debug, Clone)]
pub(crate) struct Section(Arc<Held>);

#[derive(Debug)]
struct Held {
    json: String,
    /// Of `json`.
    print: u64,
    value: Value,
}

/// The sections of one configuration by name, each made once.
#[derive(Debug, Clone, Default)]
pub(crate) struct All(BTreeMap<String, Section>);

/// Sections that a service reads, by name.
pub(crate) type Sections = [(String, Section)];

impl Section {
    pub(crate) fn json(&self) -> &str {
        &self.0.json
    }
}

impl From<Value> for Section {
    fn from(value: Value) -> Self {
        let json = value.to_string();
        let print = fingerprint(json.as_bytes());
        Self(Arc::new(Held { json, print, value }))
    }
}

impl PartialEq for Section {
    /// Reads the texts only of sections that are equal but not the same, which [`All::after`] leaves few of.
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (&*self.0, &*other.0);
        Arc::ptr_eq(&self.0, &other.0) || ours.print == theirs.print && ours.json == theirs.json
    }
}

impl All {
    /// The sections of `machine`.
    pub(crate) fn of(machine: &Machine) -> Self {
        Self::after(&Self::default(), machine)
    }

    /// The sections of `machine`; those that are as in `before` are the same.
    pub(crate) fn after(before: &Self, machine: &Machine) -> Self {
        // Every key and value of the configuration has a form in JSON.
        let Ok(Value::Object(whole)) = serde_json::to_value(machine) else {
            return Self::default();
        };
        let section = |(name, value)| {
            let section = Section::from(value);
            let same = before.0.get(&name).filter(|same| **same == section);
            let section = same.cloned().unwrap_or(section);
            (name, section)
        };
        Self(whole.into_iter().map(section).collect())
    }

    /// Those that `service` names; one that does not exist is `null`.
    pub(crate) fn read_by(&self, service: &Service) -> Vec<(String, Section)> {
        let section = |name: &String| {
            let section = self.0.get(name).cloned();
            (name.clone(), section.unwrap_or(Value::Null.into()))
        };
        service.process.config.iter().map(section).collect()
    }
}

/// Whether a change of its sections from `old` to `new` concerns `service`. Of the section that it is an instance of, only its
/// own key does: an app need not start again because another is added.
pub(crate) fn concern(service: &Service, old: &Sections, new: &Sections) -> bool {
    let differs = |((name, old), (_, new)): (&(String, Section), &(String, Section))| {
        let is_ours = service.for_each.as_ref() == Some(name);
        let key = service.process.args.last().filter(|_| is_ours);
        let own = key.and_then(|key| Some((old.0.value.get(key)?, new.0.value.get(key)?)));
        match own {
            Some((old, new)) => old != new,
            None => old != new,
        }
    };
    old.len() != new.len() || old.iter().zip(new).any(differs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_reads_what_it_names() {
        let machine =
            tare_config::parse("t", b"[apps.a.services.w]\nimage = 'x'\nports = ['80:80']")
                .unwrap();
        let service = tare_config::parse(
            "t",
            b"description='x'\nprocess={args=['/a'],config=['apps','none']}",
        )
        .unwrap();
        let read = All::of(&machine).read_by(&service);
        let read: Vec<_> = read
            .iter()
            .map(|(name, section)| (name.as_str(), section.json()))
            .collect();
        let want = r#"{"a":{"services":{"w":{"image":"x","ports":["80:80"]}}}}"#;
        assert_eq!(read, [("apps", want), ("none", "null")]);
    }

    #[test]
    fn sections_that_are_as_before_are_the_same() {
        let machine = |text: &str| -> Machine { tare_config::parse("t", text.as_bytes()).unwrap() };
        let before = All::of(&machine("log.rate = 1\n[apps.a]\ncompose = 'x'"));
        let after = All::after(&before, &machine("log.rate = 2\n[apps.a]\ncompose = 'x'"));
        let is_same = |name: &str| Arc::ptr_eq(&before.0[name].0, &after.0[name].0);
        assert_eq!((is_same("apps"), is_same("log")), (true, false));
        assert_ne!(before.0["log"], after.0["log"]);
    }

    #[test]
    fn an_instance_is_concerned_by_its_own_key() {
        let machine = |text: &str| -> Machine { tare_config::parse("t", text.as_bytes()).unwrap() };
        let old = machine("[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'y'");
        let all = "description='x'\nprocess={args=['/a'],config=['apps','log']}";
        let all: Service = tare_config::parse("t", all.as_bytes()).unwrap();
        let mut instance = Service {
            for_each: Some("apps".to_owned()),
            ..all.clone()
        };
        instance.process.args.push("a".to_owned());
        for (new, one, whole) in [
            (
                "[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'y'",
                false,
                false,
            ),
            (
                "[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'z'",
                false,
                true,
            ),
            ("[apps.a]\ncompose = 'x'", false, true),
            ("[apps.b]\ncompose = 'y'", true, true),
            (
                "[apps.a]\ncompose = 'z'\n[apps.b]\ncompose = 'y'",
                true,
                true,
            ),
            (
                "log.rate = 1\n[apps.a]\ncompose = 'x'\n[apps.b]\ncompose = 'y'",
                true,
                true,
            ),
        ] {
            let (old, new) = (All::of(&old), All::of(&machine(new)));
            for (service, want) in [(&instance, one), (&all, whole)] {
                let (old, new) = (old.read_by(service), new.read_by(service));
                assert_eq!(concern(service, &old, &new), want);
            }
        }
    }
}
