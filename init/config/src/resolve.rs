//! From the services of the image and a machine's configuration to the services that run.

use crate::enabled::Keys;
use crate::machine::Machine;
use crate::service::{Condition, Service, Services, Source, check_in, cycle};
use std::collections::BTreeSet;

/// The service that finds the state, and with it user-data.
const STORAGE: &str = "storage";

/// The services to run, and what is not in force of what the configuration says about them.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) services: Services,
    pub(crate) refused: Vec<Refused>,
}

/// What does not fit the image's services.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused {
    /// Its key.
    pub(crate) keys: Vec<String>,
    pub(crate) message: String,
}

impl Refused {
    /// About `key` of the override of a service.
    fn of(service: &str, key: &[&str], message: String) -> Self {
        let keys = ["services", service].into_iter().chain(key.iter().copied());
        Self {
            keys: keys.map(str::to_owned).collect(),
            message,
        }
    }
}

/// The image's services with `machine`'s overrides. Disabled services are removed, and no service waits for one that there
/// is not. A `lifecycle` override that does not fit its service is refused, and so is an override
/// of `after` that makes services wait for each other, and any of `storage`.
pub(crate) fn resolve(installed: &Services, machine: &Machine) -> Resolved {
    let mut refused = Vec::new();
    let mut services = Services::new();
    if machine.services.contains_key(STORAGE) {
        let why = "it runs before user-data is read";
        refused.push(Refused::of(STORAGE, &[], why.to_owned()));
    }
    let keys = Keys::of(machine);
    for (name, original) in installed {
        let mut service = overridden(name, original, machine);
        if let Err(why) = check_in(&service, installed) {
            refused.push(Refused::of(name, &["lifecycle"], why));
            service.lifecycle.clone_from(&original.lifecycle);
        }
        if service.runs_on(&keys) {
            services.extend(service.instances(name, &keys));
        }
    }
    let names = Names {
        running: services.keys().cloned().collect(),
        disabled: disabled(installed, machine).into_keys().collect(),
    };
    services
        .values_mut()
        .for_each(|service| settle(service, &names));
    break_cycles(&mut services, &names, installed, machine, &mut refused);
    Resolved { services, refused }
}

/// The services that the configuration disables, as they would run. Those that an image disables itself are there for somebody
/// to enable.
#[must_use]
pub fn disabled(installed: &Services, machine: &Machine) -> Services {
    let says_so = |name: &str| {
        let change = machine.services.get(name);
        name != STORAGE && change.and_then(|change| change.enabled) == Some(false)
    };
    let services = installed.iter().filter(|(name, _)| says_so(name));
    services
        .map(|(name, service)| (name.clone(), overridden(name, service, machine)))
        .collect()
}

/// What services may wait for.
struct Names {
    running: BTreeSet<String>,
    disabled: BTreeSet<String>,
}

fn overridden(name: &str, service: &Service, machine: &Machine) -> Service {
    match machine.services.get(name) {
        Some(change) if name != STORAGE => change.apply(service.clone()),
        _ => service.clone(),
    }
}

/// Removes conditions that cannot hold from `service`, and adds the ones it needs. What waits for a disabled service
/// stays, and says so; only a required service goes on without it.
fn settle(service: &mut Service, names: &Names) {
    let required = service.lifecycle.required;
    let has_sense = |condition: &Condition| {
        let subject = condition.subject();
        subject.is_none_or(|name| {
            names.running.contains(name) || !required && names.disabled.contains(name)
        })
    };
    service.lifecycle.after.retain(has_sense);
    wait_for_state(service);
}

/// Resets what the services of a cycle wait for to the image's settings. Those have no cycle: the image builder
/// checks that.
fn break_cycles(
    services: &mut Services,
    names: &Names,
    installed: &Services,
    machine: &Machine,
    refused: &mut Vec<Refused>,
) {
    while let Some(cycle) = cycle(services) {
        let changed = cycle.iter().skip(1).filter(|name| {
            let change = machine.services.get(*name);
            change.is_some_and(|change| change.lifecycle.after.is_some())
        });
        let why = format!("services wait for each other: {}", cycle.join(" -> "));
        refused.extend(changed.map(|name| Refused::of(name, &["lifecycle", "after"], why.clone())));
        let before = services.clone();
        for name in &cycle {
            if let (Some(service), Some(original)) = (services.get_mut(name), installed.get(name)) {
                service
                    .lifecycle
                    .after
                    .clone_from(&original.lifecycle.after);
                settle(service, names);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::services_of;

    fn services() -> Services {
        services_of(&[
            ("log", "process={args=['/l'],collects-output=true}"),
            (
                "ssh",
                "process={args=['/s']}\nmounts=[{volume='ssh',target='/k'}]",
            ),
            (
                "apps",
                "process={args=['/a']}\nlifecycle={after=['engine:ready','network:online']}",
            ),
            ("engine", "process={args=['/e']}"),
            ("storage", "process={args=['/t']}"),
        ])
    }

    fn machine(text: &str) -> Machine {
        crate::parse("t", text.as_bytes()).unwrap()
    }

    fn refused(resolved: &Resolved) -> Vec<String> {
        let refused = resolved.refused.iter();
        refused
            .map(|refused| format!("{}: {}", refused.keys.join("."), refused.message))
            .collect()
    }

    #[test]
    fn what_waits_for_a_disabled_service_waits_unless_it_is_required() {
        let machine = machine("[services.engine]\nenabled=false");
        let mut services = services();
        let needed = services["apps"].clone();
        services
            .entry("needed".to_owned())
            .or_insert(needed)
            .lifecycle
            .required = true;
        assert_eq!(
            disabled(&services, &machine)
                .into_keys()
                .collect::<Vec<_>>(),
            ["engine"]
        );
        let resolved = resolve(&services, &machine).services;
        assert_eq!(
            resolved.keys().collect::<Vec<_>>(),
            ["apps", "log", "needed", "ssh", "storage"]
        );
        let engine = Condition::Ready("engine".to_owned());
        let network = Condition::NetworkOnline;
        assert_eq!(resolved["apps"].lifecycle.after, [engine, network.clone()]);
        assert_eq!(resolved["needed"].lifecycle.after, [network]);
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
        let want =
            "services.engine.lifecycle.after: services wait for each other: apps -> engine -> apps";
        assert_eq!(refused(&resolved), [want]);
        let after = |name: &str| resolved.services[name].lifecycle.after.clone();
        assert_eq!(after("engine"), []);
        let engine = Condition::Ready("engine".to_owned());
        assert_eq!(after("apps"), [engine, Condition::NetworkOnline]);
        let log = Condition::Ready("log".to_owned());
        assert_eq!(after("ssh"), [log, Condition::StateMounted]);
        let grace = resolved.services["engine"].lifecycle.stop.grace;
        assert_eq!(grace, crate::Span::seconds(1));
    }

    #[test]
    fn an_override_that_does_not_fit_is_left_out() {
        let machine = machine(
            "[services.ssh.lifecycle]\nhealth={tcp=22}\n\
             [services.engine]\nenabled=false\n\
             [services.log.lifecycle]\nafter=['apps:done']\nstop={grace='1s'}\n\
             [services.storage.lifecycle]\nstart-timeout='1s'",
        );
        let resolved = resolve(&services(), &machine);
        let want = [
            "services.storage: it runs before user-data is read",
            "services.log.lifecycle: `apps:done` never holds, `apps:ready` may",
            "services.ssh.lifecycle: tcp and http need the host's network namespace",
        ];
        assert_eq!(refused(&resolved), want);
        assert_eq!(resolved.services["storage"], services()["storage"]);
        assert_eq!(resolved.services["ssh"].lifecycle.health, None);
        assert_eq!(
            resolved.services["log"].lifecycle,
            services()["log"].lifecycle
        );
    }
}
