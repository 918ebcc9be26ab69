//! Which services run, what each waits for, and what has to be there before it starts.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use tare_config::Machine;
use tare_config::service::{Condition, Service, Source};
use tare_container::paths;

/// Services by name.
pub(crate) type Services = BTreeMap<String, Service>;

/// The image's services as `machine` wants them: changed, without those it disables, and with
/// nobody waiting for what will not come.
pub(crate) fn resolve(installed: &Services, machine: &Machine) -> Services {
    let changed = installed.iter().map(|(name, service)| {
        let service = match machine.services.get(name) {
            Some(change) => change.apply(service.clone()),
            None => service.clone(),
        };
        (name.clone(), service)
    });
    let mut enabled: Services = changed
        .filter(|(_, service)| service.runs_on(machine))
        .collect();
    let names: BTreeSet<String> = enabled.keys().cloned().collect();
    for service in enabled.values_mut() {
        service
            .lifecycle
            .after
            .retain(|condition| subject(condition).is_none_or(|name| names.contains(name)));
        wait_for_state(service);
    }
    enabled
}

/// The service that a condition is about, if it is about one.
fn subject(condition: &Condition) -> Option<&str> {
    match condition {
        Condition::Ready(name) | Condition::Done(name) => Some(name),
        Condition::NetworkOnline | Condition::StateMounted => None,
    }
}

/// A service with a volume cannot start before there is a place for volumes.
fn wait_for_state(service: &mut Service) {
    let has_volume = service
        .mounts
        .iter()
        .any(|mount| matches!(mount.source, Source::Volume(_)));
    if has_volume && !service.lifecycle.after.contains(&Condition::StateMounted) {
        service.lifecycle.after.push(Condition::StateMounted);
    }
}

/// The services that must have ended before `name` is stopped: those that waited for it, and for
/// the one that collects output, all.
pub(crate) fn stops_after<'a>(name: &str, services: &'a Services) -> BTreeSet<&'a str> {
    let collects = services
        .get(name)
        .is_some_and(|service| service.process.collects_output);
    let waits = |service: &Service| {
        service
            .lifecycle
            .after
            .iter()
            .any(|condition| subject(condition) == Some(name))
    };
    let others = services.iter().filter(|(other, _)| *other != name);
    others
        .filter(|(_, service)| collects || waits(service))
        .map(|(other, _)| other.as_str())
        .collect()
}

/// A directory that has to be there before a service starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceDirectory {
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    /// Whether it belongs to the service's user; shared ones belong to root.
    pub(crate) owned: bool,
}

/// The directories behind the volumes and shared mounts of `service`.
pub(crate) fn source_directories(service: &Service) -> Vec<SourceDirectory> {
    let directory = |source: &Source| match source {
        Source::Volume(name) => Some(SourceDirectory {
            path: paths::volume(name).into(),
            mode: 0o700,
            owned: true,
        }),
        Source::Shared(name) => Some(SourceDirectory {
            path: paths::shared(name).into(),
            mode: 0o755,
            owned: false,
        }),
        Source::Host(_) | Source::Tmpfs(_) => None,
    };
    service
        .mounts
        .iter()
        .filter_map(|mount| directory(&mount.source))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services() -> Services {
        let parse = |text: &str| -> Service {
            let text = format!("description='x'\n{text}\n");
            tare_config::parse("t", text.as_bytes()).unwrap()
        };
        BTreeMap::from([
            (
                "log".to_owned(),
                parse("process={args=['/l'],collects-output=true}"),
            ),
            (
                "ssh".to_owned(),
                parse("process={args=['/s']}\nmounts=[{volume='ssh',target='/k'}]"),
            ),
            (
                "apps".to_owned(),
                parse("process={args=['/a']}\nlifecycle={after=['engine:ready','network:online']}"),
            ),
            (
                "engine".to_owned(),
                parse("process={args=['/e']}\nmounts=[{shared='engine',target='/run/e'}]"),
            ),
        ])
    }

    fn machine(text: &str) -> Machine {
        tare_config::parse("t", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_disabled_service_is_gone_and_nobody_waits_for_it() {
        let resolved = resolve(&services(), &machine("[services.engine]\nenabled=false"));
        assert_eq!(resolved.keys().collect::<Vec<_>>(), ["apps", "log", "ssh"]);
        assert_eq!(resolved["apps"].lifecycle.after, [Condition::NetworkOnline]);
    }

    #[test]
    fn volumes_wait_for_the_state() {
        let resolved = resolve(&services(), &machine(""));
        assert_eq!(resolved["ssh"].lifecycle.after, [Condition::StateMounted]);
        assert_eq!(resolved["engine"].lifecycle.after, []);
    }

    #[test]
    fn services_stop_in_reverse_and_the_log_last() {
        let services = services();
        for (name, want) in [
            ("engine", vec!["apps"]),
            ("apps", vec![]),
            ("log", vec!["apps", "engine", "ssh"]),
        ] {
            assert_eq!(
                stops_after(name, &services).into_iter().collect::<Vec<_>>(),
                want,
                "{name}"
            );
        }
    }

    #[test]
    fn directories_behind_mounts() {
        let directory = |path: &str, mode, owned| SourceDirectory {
            path: path.into(),
            mode,
            owned,
        };
        assert_eq!(
            source_directories(&services()["ssh"]),
            [directory("/state/volumes/ssh", 0o700, true)]
        );
        assert_eq!(
            source_directories(&services()["engine"]),
            [directory("/run/tare/shared/engine", 0o755, false)]
        );
    }
}
