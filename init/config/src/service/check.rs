//! Checks across keys and across services.

use super::{Condition, Kind, Service, SocketAddress, Source};
use std::collections::{BTreeMap, BTreeSet};

/// Services by name.
pub type Services = BTreeMap<String, Service>;

/// Checks what the schema of a single key cannot: that keys fit each other, and services each other.
///
/// # Errors
/// The first invalid service and the reason. A cycle is named in full, as in `a -> b -> a`.
pub fn check(services: &Services) -> Result<(), String> {
    for (name, service) in services {
        check_in(service, services).map_err(|why| format!("service {name}: {why}"))?;
    }
    match cycle(services) {
        Some(cycle) => Err(format!(
            "services wait for each other: {}",
            cycle.join(" -> ")
        )),
        None => Ok(()),
    }
}

/// Checks that the keys of `service` fit each other, and that what it waits for is in `services`.
///
/// # Errors
/// What is wrong.
pub fn check_in(service: &Service, services: &Services) -> Result<(), String> {
    alone(service)?;
    known(service, services)
}

fn alone(service: &Service) -> Result<(), String> {
    let lifecycle = &service.lifecycle;
    match (lifecycle.kind, &lifecycle.schedule) {
        (Kind::Periodic, None) => return Err("kind periodic needs a schedule".to_owned()),
        (Kind::Daemon | Kind::Oneshot, Some(_)) => {
            return Err("only kind periodic has a schedule".to_owned());
        }
        _ => {}
    }
    let probes = [
        lifecycle.ready.probe(),
        lifecycle.health.as_ref().map(|health| health.probe.clone()),
    ];
    let asked = probes.iter().flatten().any(super::Probe::needs_network);
    if asked && !service.sandbox.joins(super::Namespace::Network) {
        return Err("tcp and http need the host's network namespace".to_owned());
    }
    if !service.sockets.is_empty() && service.process.collects_output {
        return Err("one that collects output has no sockets".to_owned());
    }
    service.sockets.iter().try_for_each(|socket| {
        let SocketAddress::Path(path) = &socket.address else {
            return Ok(());
        };
        let on_host = service.on_host(path).map(drop);
        on_host.ok_or_else(|| format!("socket {path} is not directly in a volume or shared mount"))
    })
}

fn known(service: &Service, services: &Services) -> Result<(), String> {
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    for condition in &service.lifecycle.after {
        let Some(subject) = condition.subject() else {
            continue;
        };
        let Some(other) = services.get(subject) else {
            return Err(crate::error::unknown("service", subject, &names));
        };
        let right = other.lifecycle.condition(subject);
        if right != *condition {
            return Err(format!("`{condition}` never holds, `{right}` may"));
        }
    }
    Ok(())
}

/// A cycle of services that wait for each other, with the first repeated at the end. `None` if there is no cycle.
#[must_use]
pub fn cycle(services: &Services) -> Option<Vec<String>> {
    let mut acyclic = BTreeSet::new();
    services
        .keys()
        .find_map(|name| cycle_from(name, services, &mut Vec::new(), &mut acyclic))
}

/// Follows what `name` waits for. `path` holds the services passed on the way.
fn cycle_from<'a>(
    name: &'a str,
    services: &'a Services,
    path: &mut Vec<&'a str>,
    acyclic: &mut BTreeSet<&'a str>,
) -> Option<Vec<String>> {
    if acyclic.contains(name) {
        return None;
    }
    if let Some(place) = path.iter().position(|passed| *passed == name) {
        let ring = path[place..].iter().chain([&name]);
        return Some(ring.map(|name| (*name).to_owned()).collect());
    }
    path.push(name);
    let after = services.get(name).map(|service| &service.lifecycle.after);
    let mut others = after.into_iter().flatten().filter_map(Condition::needs);
    let found = others.find_map(|other| cycle_from(other, services, path, acyclic));
    path.pop();
    acyclic.insert(name);
    found
}

impl Service {
    /// The container's `path` on the host: the source of the volume or shared mount that contains it, and its name
    /// there. `None` for deeper paths, where the service controls the directories in between.
    #[must_use]
    pub fn on_host<'a>(&'a self, path: &'a str) -> Option<(&'a Source, &'a str)> {
        self.mounts.iter().find_map(|mount| {
            let kept = matches!(mount.source, Source::Volume(_) | Source::Shared(_));
            let rest = path.strip_prefix(&mount.target)?.strip_prefix('/')?;
            (kept && !rest.is_empty() && !rest.contains('/')).then_some((&mount.source, rest))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn services(texts: &[(&str, &str)]) -> Services {
        let parse = |text: &str| {
            let text = format!("description='x'\nprocess={{args=['/x']}}\n{text}");
            crate::parse("t", text.as_bytes()).unwrap()
        };
        let named = texts.iter();
        named
            .map(|(name, text)| ((*name).to_owned(), parse(text)))
            .collect()
    }

    #[test]
    fn services_fit_together_or_it_is_said_why_not() {
        for (texts, want) in [
            (vec![("a", ""), ("b", "lifecycle.after=['a:ready']")], None),
            (
                vec![("a", "lifecycle.after=['engin:ready']"), ("engine", "")],
                Some("service a: unknown service `engin`, did you mean `engine`?"),
            ),
            (
                vec![("a", "lifecycle.after=['b:done']"), ("b", "")],
                Some("service a: `b:done` never holds, `b:ready` may"),
            ),
            (
                vec![("a", "lifecycle.after=['a:ready']")],
                Some("services wait for each other: a -> a"),
            ),
            (
                vec![
                    ("a", "lifecycle.after=['d:ready', 'b:ready']"),
                    ("b", "lifecycle.after=['c:done']"),
                    (
                        "c",
                        "lifecycle={kind='oneshot',after=['d:ready','b:ready']}",
                    ),
                    ("d", ""),
                ],
                Some("services wait for each other: b -> c -> b"),
            ),
            (
                vec![("time", "lifecycle.after=['time:synced']")],
                Some("services wait for each other: time -> time"),
            ),
            (
                vec![
                    ("a", "lifecycle.after=['time:synced']"),
                    ("time", "lifecycle.after=['a:ready']"),
                ],
                Some("services wait for each other: a -> time -> a"),
            ),
            (vec![("a", "lifecycle.after=['time:synced']")], None),
            (
                vec![("a", "lifecycle.kind='periodic'")],
                Some("service a: kind periodic needs a schedule"),
            ),
            (
                vec![("a", "lifecycle.schedule='daily'")],
                Some("service a: only kind periodic has a schedule"),
            ),
            (
                vec![("a", "lifecycle.ready={http='80/'}")],
                Some("service a: tcp and http need the host's network namespace"),
            ),
            (
                vec![(
                    "a",
                    "sockets=[{stream='/run/a/s'}]\nmounts=[{tmpfs='1MiB',target='/run/a'}]",
                )],
                Some("service a: socket /run/a/s is not directly in a volume or shared mount"),
            ),
            (
                vec![(
                    "a",
                    "sockets=[{stream='/run/a/s'}]\nmounts=[{shared='a',target='/run/a'}]",
                )],
                None,
            ),
        ] {
            let got = check(&services(&texts)).err();
            assert_eq!(got.as_deref(), want, "{texts:?}");
        }
    }
}
