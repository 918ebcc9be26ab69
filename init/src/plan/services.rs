//! Which services run, what each waits for, and which directories must exist before it starts.

use std::collections::BTreeSet;
use std::path::PathBuf;
use tare_config::Machine;
pub(crate) use tare_config::service::Services;
use tare_config::service::{Condition, Mount, Propagation, Service, Source, check_in, cycle};
use tare_container::paths;

/// The services to run, and complaints about what user-data says about them.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) services: Services,
    pub(crate) complaints: Vec<Complaint>,
}

/// What user-data says at `keys`, and why it is ignored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Complaint {
    /// Dotted keys.
    pub(crate) keys: Vec<String>,
    pub(crate) text: String,
}

impl Complaint {
    /// About `key` of the override of one service, or about all of it if that is empty.
    pub(crate) fn new(service: &str, key: &str, why: &str) -> Self {
        Self {
            keys: vec![format!("services.{service}{key}")],
            text: format!("service {service}: {why}"),
        }
    }
}

/// The image's services with `machine`'s overrides. Disabled services are removed, and no service waits for a
/// condition that cannot hold. A `lifecycle` override that does not fit its service is ignored, and so is an override
/// of `after` that makes services wait for each other.
pub(crate) fn resolve(installed: &Services, machine: &Machine) -> Resolved {
    let mut complaints = Vec::new();
    let mut services = Services::new();
    for (name, original) in installed {
        let mut service = overridden(name, original, machine);
        if let Err(why) = check_in(&service, installed) {
            let why = format!("{why}; override ignored, using the image's settings");
            complaints.push(Complaint::new(name, ".lifecycle", &why));
            service.lifecycle.clone_from(&original.lifecycle);
        }
        if service.runs_on(machine) {
            services.extend(service.instances(name, machine));
        }
    }
    let names: BTreeSet<String> = services.keys().cloned().collect();
    services
        .values_mut()
        .for_each(|service| settle(service, &names));
    break_cycles(&mut services, installed, &mut complaints);
    Resolved {
        services,
        complaints,
    }
}

fn overridden(name: &str, service: &Service, machine: &Machine) -> Service {
    match machine.services.get(name) {
        Some(change) => change.apply(service.clone()),
        None => service.clone(),
    }
}

/// Removes conditions that cannot hold from `service`, and adds the ones it needs.
fn settle(service: &mut Service, names: &BTreeSet<String>) {
    let will_come = |condition: &Condition| {
        let subject = condition.subject();
        subject.is_none_or(|name| names.contains(name))
    };
    service.lifecycle.after.retain(will_come);
    wait_for_state(service);
}

/// Resets what the services of a cycle wait for to the image's settings. Those have no cycle: the image builder
/// checks that.
fn break_cycles(services: &mut Services, installed: &Services, complaints: &mut Vec<Complaint>) {
    let names: BTreeSet<String> = services.keys().cloned().collect();
    while let Some(cycle) = cycle(services) {
        let keys = cycle
            .iter()
            .map(|name| format!("services.{name}.lifecycle.after"));
        complaints.push(Complaint {
            keys: keys.collect(),
            text: format!(
                "services wait for each other: {}; override ignored, using the image's conditions",
                cycle.join(" -> ")
            ),
        });
        let before = services.clone();
        for name in &cycle {
            if let (Some(service), Some(original)) = (services.get_mut(name), installed.get(name)) {
                service
                    .lifecycle
                    .after
                    .clone_from(&original.lifecycle.after);
                settle(service, &names);
            }
        }
        if *services == before {
            // The image was not built by our builder: better run them unordered than not at all.
            cycle
                .iter()
                .for_each(|name| forget_subjects(services, name));
        }
    }
}

fn forget_subjects(services: &mut Services, name: &str) {
    if let Some(service) = services.get_mut(name) {
        let after = &mut service.lifecycle.after;
        after.retain(|condition| condition.needs().is_none());
    }
}

/// A service with a volume waits until the state is mounted, unless it accepts volumes in memory.
fn wait_for_state(service: &mut Service) {
    if service.lifecycle.without_state {
        return;
    }
    let has_volume = service
        .mounts
        .iter()
        .any(|mount| matches!(mount.source, Source::Volume(_)));
    if has_volume && !service.lifecycle.after.contains(&Condition::StateMounted) {
        service.lifecycle.after.push(Condition::StateMounted);
    }
}

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

    fn machine(text: &str) -> Machine {
        tare_config::parse("t", text.as_bytes()).unwrap()
    }

    fn texts(resolved: &Resolved) -> Vec<&str> {
        let complaints = resolved.complaints.iter();
        complaints.map(|complaint| &*complaint.text).collect()
    }

    #[test]
    fn a_disabled_service_is_gone_and_no_other_waits_for_it() {
        let machine = machine("[services.engine]\nenabled=false");
        let resolved = resolve(&services(), &machine).services;
        assert_eq!(resolved.keys().collect::<Vec<_>>(), ["apps", "log", "ssh"]);
        assert_eq!(resolved["apps"].lifecycle.after, [Condition::NetworkOnline]);
    }

    #[test]
    fn volumes_wait_for_the_state() {
        let resolved = resolve(&services(), &machine("")).services;
        assert_eq!(resolved["ssh"].lifecycle.after, [Condition::StateMounted]);
        assert_eq!(resolved["engine"].lifecycle.after, []);
    }

    #[test]
    fn overrides_that_go_round_in_a_circle_are_left_out() {
        let machine = machine(
            "[services.engine.lifecycle]\nafter=['apps:ready','log:ready']\nstop={grace='1s'}\n\
             [services.ssh.lifecycle]\nafter=['log:ready']",
        );
        let resolved = resolve(&services(), &machine);
        let want = "services wait for each other: apps -> engine -> apps; override ignored, using the image's conditions";
        assert_eq!(texts(&resolved), [want]);
        let after = |name: &str| resolved.services[name].lifecycle.after.clone();
        assert_eq!(after("engine"), []);
        let engine = Condition::Ready("engine".to_owned());
        assert_eq!(after("apps"), [engine, Condition::NetworkOnline]);
        let log = Condition::Ready("log".to_owned());
        assert_eq!(after("ssh"), [log, Condition::StateMounted]);
        let grace = resolved.services["engine"].lifecycle.stop.grace;
        assert_eq!(grace, tare_config::Span::seconds(1));
    }

    #[test]
    fn an_override_that_does_not_fit_is_left_out() {
        let machine = machine(
            "[services.ssh.lifecycle]\nhealth={tcp=22}\n\
             [services.engine]\nenabled=false\n\
             [services.log.lifecycle]\nafter=['apps:done']\nstop={grace='1s'}",
        );
        let resolved = resolve(&services(), &machine);
        let want = [
            "service log: `apps:done` never holds, `apps:ready` may; override ignored, using the image's settings",
            "service ssh: tcp and http need the host's network namespace; override ignored, using the image's settings",
        ];
        assert_eq!(texts(&resolved), want);
        assert_eq!(resolved.services["ssh"].lifecycle.health, None);
        assert_eq!(
            resolved.services["log"].lifecycle,
            services()["log"].lifecycle
        );
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
        let machine = machine("[services.log.lifecycle]\nafter=['engine:ready']");
        let services = resolve(&services(), &machine).services;
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
