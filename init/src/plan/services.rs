//! Which services run, what each waits for, and which directories must exist before it starts.

use std::collections::BTreeSet;
use std::path::PathBuf;
pub(crate) use tare_config::service::Services;
use tare_config::service::{Condition, Mount, Propagation, Service, Source};
use tare_container::paths;

/// The services that must have ended before `name` is stopped: those that wait for it. For the service that collects
/// output, also all that it does not need. For one with `stop.last`, also all that neither the collector nor any
/// service with `stop.last` needs.
pub(crate) fn stops_after<'a>(name: &str, services: &'a Services) -> BTreeSet<&'a str> {
    let collects = |service: &Service| service.process.collects_output;
    let ends_late = |service: &Service| collects(service) || service.lifecycle.stop.last;
    let kept = match services.get(name) {
        Some(service) if collects(service) => Some(needed(services, |other, _| other == name)),
        Some(service) if ends_late(service) => Some(needed(services, |_, other| ends_late(other))),
        _ => None,
    };
    let others = services.iter().filter(|(other, _)| *other != name);
    others
        .filter(|(other, service)| {
            let unneeded = kept
                .as_ref()
                .is_some_and(|kept| !kept.contains(other.as_str()));
            unneeded || waits_for(service).any(|awaited| awaited == name)
        })
        .map(|(other, _)| other.as_str())
        .collect()
}

/// The services that are `wanted`, and all that they wait for, directly or not. None of these waits for a service
/// outside the set, so stopping them after all others creates no cycle.
fn needed(services: &Services, wanted: impl Fn(&str, &Service) -> bool) -> BTreeSet<&str> {
    let wanted = services
        .iter()
        .filter(|(name, service)| wanted(name, service));
    let mut found: Vec<&str> = wanted.map(|(name, _)| name.as_str()).collect();
    let mut needed = BTreeSet::new();
    while let Some(name) = found.pop() {
        if let Some(service) = services.get(name) {
            if needed.insert(name) {
                found.extend(waits_for(service));
            }
        }
    }
    needed
}

fn waits_for(service: &Service) -> impl Iterator<Item = &str> {
    let after = service.lifecycle.after.iter();
    after.filter_map(Condition::subject)
}

/// A directory that must exist before a service starts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SourceDirectory {
    pub(crate) path: PathBuf,
    pub(crate) mode: u32,
    /// Whether it belongs to the service's user; shared ones belong to root.
    pub(crate) owned: bool,
    /// A group that may read it too.
    pub(crate) group: Option<u32>,
    /// Whether mounts that services make there propagate.
    pub(crate) travels: bool,
}

/// The directories behind the volumes and shared mounts of `service`.
pub(crate) fn source_directories(service: &Service) -> Vec<SourceDirectory> {
    service.mounts.iter().filter_map(source_directory).collect()
}

fn source_directory(mount: &Mount) -> Option<SourceDirectory> {
    let (path, mode, owned) = match &mount.source {
        Source::Volume(name) => (paths::volume(name), 0o700, true),
        Source::Shared(name) => (paths::shared(name), 0o755, false),
        Source::Host(_) | Source::Tmpfs(_) => return None,
    };
    Some(SourceDirectory {
        path: path.into(),
        mode: mount.mode.unwrap_or(mode),
        owned,
        group: mount.group,
        travels: mount.propagation != Propagation::Private,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

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
                parse(
                    "process={args=['/e']}\nmounts=[{shared='engine',target='/run/e',propagation='shared'}]",
                ),
            ),
        ])
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
    fn some_stop_after_all_that_they_do_not_need() {
        let service = |name: &str, collects: bool, last: bool, after: &str| {
            let text = format!(
                "description='x'\nprocess={{args=['/x'],collects-output={collects}}}\n\
                 lifecycle={{after=[{after}],stop={{last={last}}}}}"
            );
            let service: Service = tare_config::parse("t", text.as_bytes()).unwrap();
            (name.to_owned(), service)
        };
        let services = BTreeMap::from([
            service("storage", false, false, ""),
            service("disk", false, false, "'storage:done'"),
            service("log", true, false, ""),
            service("backup", false, true, "'disk:ready','network:online'"),
            service("lease", false, false, ""),
            service("forward", false, true, "'lease:ready'"),
            service("shell", false, false, "'disk:ready'"),
            service("status", false, false, "'forward:ready'"),
        ]);
        for (name, want) in [
            ("backup", vec!["shell", "status"]),
            ("forward", vec!["shell", "status"]),
            ("disk", vec!["backup", "shell"]),
            ("storage", vec!["disk"]),
            ("lease", vec!["forward"]),
            ("status", vec![]),
        ] {
            assert_eq!(Vec::from_iter(stops_after(name, &services)), want, "{name}");
        }
        assert_eq!(stops_after("log", &services).len(), 7);
    }

    #[test]
    fn what_the_log_waits_for_stops_after_it() {
        let mut services = services();
        let engine = Condition::Ready("engine".to_owned());
        services.get_mut("log").unwrap().lifecycle.after = vec![engine];
        for (name, want) in [
            ("ssh", vec![]),
            ("apps", vec![]),
            ("log", vec!["apps", "ssh"]),
            ("engine", vec!["apps", "log"]),
        ] {
            assert_eq!(Vec::from_iter(stops_after(name, &services)), want, "{name}");
        }
    }

    #[test]
    fn directories_behind_mounts() {
        let directory = |path: &str, mode, owned, travels| SourceDirectory {
            path: path.into(),
            mode,
            owned,
            group: None,
            travels,
        };
        let engine = "/run/tare/shared/engine";
        for (service, want) in [
            ("ssh", directory("/state/volumes/ssh", 0o700, true, false)),
            ("engine", directory(engine, 0o755, false, true)),
        ] {
            assert_eq!(source_directories(&services()[service]), [want]);
        }
    }
}
