//! What a new configuration does to a machine that runs.

use super::facts::{Fact, TIME_ZONE};
use super::network::{Link, Step};
use super::sections::{self, All};
use super::services::Services;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use tare_config::machine::{FilePath, ModuleName, User};
use tare_config::{Machine, Service};

/// What the machine is to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Desired {
    pub(crate) machine: Machine,
    pub(crate) services: Services,
    pub(crate) facts: Vec<Fact>,
    pub(crate) network: Vec<Step>,
}

/// One effect of a new configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// The name of the machine.
    Hostname(String),
    /// The time zone.
    Zone(String),
    /// What logins show.
    Motd,
    /// Something is set on a link, or taken back.
    Network { link: String, what: String },
    /// A setting of the kernel. `None`: it gets back what it was before the configuration named it.
    Sysctl(String, Option<String>),
    /// A module is loaded. False: it stays loaded until the next boot.
    Module(String, bool),
    /// The console shows more or less.
    LogLevel,
    /// Swap is what this key says. False: there is none any more.
    Swap(&'static str, bool),
    /// A file is written. False: it is no longer in the configuration, and stays as it is.
    File(FilePath, bool),
    /// A disk, by its name, and what becomes of it.
    Disk(String, String),
    /// The hardware watchdog is set otherwise.
    Watchdog,
    /// Other callers may do more or less.
    Control,
    /// A user, and what becomes of it.
    User(String, &'static str),
    /// Certificates of other authorities log in.
    Authorities,
    /// A service that was not there.
    Starts(String),
    /// One that is not there any more.
    Stops(String),
    /// One that is disabled.
    Disabled(String),
    /// Its program is started again, for this reason.
    Restarts(String, String),
    /// It reads files again, for this reason, and goes on.
    Reloads(String, String),
    /// It is supervised otherwise, and goes on.
    GoesOn(String),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hostname(name) => write!(f, "hostname: {name}"),
            Self::Zone(zone) => write!(f, "time.zone: {zone}"),
            Self::Motd => f.write_str("motd: set"),
            Self::Network { link, what } => write!(f, "network: {link}: {what}"),
            Self::Sysctl(name, Some(value)) => write!(f, "sysctl: {name} = {value}"),
            Self::Sysctl(name, None) => {
                write!(f, "sysctl: {name} is what it was before")
            }
            Self::Module(name, true) => write!(f, "modules: {name} is loaded"),
            Self::Module(name, false) => {
                write!(f, "modules: {name} stays loaded until the next boot")
            }
            Self::LogLevel => f.write_str("kernel.log-level: set"),
            Self::Swap(key, true) => write!(f, "{key}: set"),
            Self::Swap(key, false) => {
                write!(f, "{key}: taken away, once what is in it is back in memory")
            }
            Self::File(path, true) => write!(f, "files: {path} is written"),
            Self::File(path, false) => write!(f, "files: {path} stays as it is"),
            Self::Disk(name, what) => write!(f, "disks: {name} {what}"),
            Self::Watchdog => f.write_str("watchdog: set"),
            Self::Control => f.write_str("control: set"),
            Self::User(name, what) => write!(f, "users: {name} {what}"),
            Self::Authorities => f.write_str("ssh: certificates of other authorities log in"),
            Self::Starts(name) => write!(f, "{name}: starts"),
            Self::Disabled(name) => write!(f, "{name}: stops, and is disabled"),
            Self::Stops(name) => write!(f, "{name}: stops, and is gone"),
            Self::Restarts(name, why) => write!(f, "{name}: restarts, {why}"),
            Self::Reloads(name, why) => write!(f, "{name}: reloads, {why}"),
            Self::GoesOn(name) => write!(f, "{name}: goes on, supervised as described now"),
        }
    }
}

/// What becomes different from `old` to `new`, on a machine with these `links`.
pub(crate) fn between(old: &Desired, new: &Desired, links: &BTreeSet<Link>) -> Vec<Change> {
    let mut changes = Vec::new();
    let text = |desired: &Desired, name: &str| {
        let mut facts = desired.facts.iter();
        facts
            .find(|fact| fact.name == name)
            .map(|fact| fact.text.clone())
    };
    if let (before, Some(now)) = (text(old, "hostname"), text(new, "hostname")) {
        if before.as_ref() != Some(&now) {
            changes.push(Change::Hostname(now.trim_end().to_owned()));
        }
    }
    if old.machine.time.zone != new.machine.time.zone {
        let zone = text(new, TIME_ZONE).unwrap_or_default();
        changes.push(Change::Zone(zone.trim_end().to_owned()));
    }
    if old.machine.motd != new.machine.motd {
        changes.push(Change::Motd);
    }
    changes.extend(of_network(old, new, links));
    changes.extend(of_kernel(&old.machine, &new.machine));
    if old.machine.kernel != new.machine.kernel {
        changes.push(Change::LogLevel);
    }
    changes.extend(of_swap(&old.machine, &new.machine));
    changes.extend(of_files(&old.machine, &new.machine));
    changes.extend(of_disks(&old.machine, &new.machine));
    if old.machine.watchdog != new.machine.watchdog {
        changes.push(Change::Watchdog);
    }
    if old.machine.control != new.machine.control {
        changes.push(Change::Control);
    }
    changes.extend(of_users(&old.machine, &new.machine));
    let before: BTreeSet<(&str, &str)> = old.facts.iter().map(Fact::name_and_text).collect();
    let facts: BTreeSet<&str> = new
        .facts
        .iter()
        .filter(|fact| !before.contains(&fact.name_and_text()))
        .map(|fact| fact.name.as_str())
        .collect();
    changes.extend(of_services(old, new, &facts));
    changes
}

fn of_network(old: &Desired, new: &Desired, links: &BTreeSet<Link>) -> Vec<Change> {
    let names: BTreeMap<u32, &str> = links
        .iter()
        .map(|link| (link.index, link.name.as_str()))
        .collect();
    let change = |step: &Step, is_set: bool| {
        let verb = if is_set { "gets" } else { "loses" };
        let (index, what) = match step {
            Step::Up {
                index,
                mtu: Some(mtu),
            } => (index, format!("{verb} mtu {mtu}")),
            Step::Up { mtu: None, .. } => return None,
            Step::Address {
                index,
                address,
                prefix,
            } => (index, format!("{verb} {address}/{prefix}")),
            Step::DefaultRoute { index, gateway } => {
                (index, format!("{verb} a default route by {gateway}"))
            }
        };
        let link = names
            .get(index)
            .map_or_else(|| index.to_string(), |name| (*name).to_owned());
        Some(Change::Network { link, what })
    };
    let before: BTreeSet<&Step> = old.network.iter().collect();
    let now: BTreeSet<&Step> = new.network.iter().collect();
    let gone = old.network.iter().filter(|step| !now.contains(step));
    let come = new.network.iter().filter(|step| !before.contains(step));
    let gone = gone.filter_map(|step| change(step, false));
    gone.chain(come.filter_map(|step| change(step, true)))
        .collect()
}

fn of_kernel<'m>(old: &'m Machine, new: &'m Machine) -> Vec<Change> {
    let (before, now) = (&old.sysctl.0, &new.sysctl.0);
    let set = now
        .iter()
        .filter(|(name, value)| before.get(*name) != Some(*value));
    let set = set.map(|(name, value)| Change::Sysctl(name.clone(), Some(value.clone())));
    let left = before.keys().filter(|name| !now.contains_key(*name));
    let left = left.map(|name| Change::Sysctl(name.clone(), None));
    let names = |machine: &'m Machine| machine.modules.iter().map(ModuleName::as_str);
    let loaded_before: BTreeSet<&str> = names(old).collect();
    let loaded_now: BTreeSet<&str> = names(new).collect();
    let loaded = names(new).filter(|name| !loaded_before.contains(name));
    let loaded = loaded.map(|name| Change::Module(name.to_owned(), true));
    let kept = names(old).filter(|name| !loaded_now.contains(name));
    let kept = kept.map(|name| Change::Module(name.to_owned(), false));
    set.chain(left).chain(loaded).chain(kept).collect()
}

fn of_swap(old: &Machine, new: &Machine) -> Vec<Change> {
    let (before, now) = (&old.swap, &new.swap);
    let zram = Change::Swap("swap.zram", now.zram.size.is_some());
    let file = Change::Swap("swap.file", now.file.is_some());
    let zram = (before.zram != now.zram).then_some(zram);
    let file = (before.file != now.file).then_some(file);
    zram.into_iter().chain(file).collect()
}

fn of_files(old: &Machine, new: &Machine) -> Vec<Change> {
    let (before, now) = (&old.files, &new.files);
    let written = now
        .iter()
        .filter(|(path, file)| before.get(*path) != Some(*file));
    let written = written.map(|(path, _)| Change::File(path.clone(), true));
    let left = before.keys().filter(|path| !now.contains_key(*path));
    let left = left.map(|path| Change::File(path.clone(), false));
    written.chain(left).collect()
}

/// What is mounted stays: containers use it.
fn of_disks(old: &Machine, new: &Machine) -> Vec<Change> {
    let now = new
        .disks
        .iter()
        .filter_map(|(name, disk)| match old.disks.get(name) {
            None => Some((name, format!("is mounted on {} if it is there", disk.mount))),
            Some(before) if before != disk => {
                let what = "is changed; if it is mounted, it stays so until the next boot";
                Some((name, what.to_owned()))
            }
            Some(_) => None,
        });
    let left = old
        .disks
        .iter()
        .filter(|(name, _)| new.disks.get(name).is_none())
        .map(|(name, disk)| {
            let what = format!("stays mounted on {} until the next boot", disk.mount);
            (name, what)
        });
    let changes = now.chain(left);
    changes
        .map(|(name, what)| Change::Disk(name.to_owned(), what))
        .collect()
}

/// Sessions go on whatever changes. What a user is in and may do is read at a login.
fn of_users(old: &Machine, new: &Machine) -> Vec<Change> {
    let root = |machine: &Machine| {
        (
            machine.ssh_authorized_keys.clone(),
            machine.ssh.principals.clone(),
        )
    };
    let mut changes = Vec::new();
    if root(old) != root(new) {
        let what = "is logged in by other keys or principals";
        changes.push(Change::User("root".to_owned(), what));
    }
    let names: BTreeSet<&str> = [old, new]
        .into_iter()
        .flat_map(|machine| machine.users.iter().map(|(name, _)| name))
        .collect();
    for name in names {
        let what = of_user(old.users.get(name), new.users.get(name));
        // As another user has come or gone whose name stands for the same id.
        let moves = old.users.get(name).is_some() && old.users.id(name) != new.users.id(name);
        let moves = moves.then_some("has another id from its next login on; its files keep theirs");
        let what = what.or(moves);
        changes.extend(what.map(|what| Change::User(name.to_owned(), what)));
    }
    if old.ssh.trusted_user_ca_keys != new.ssh.trusted_user_ca_keys {
        changes.push(Change::Authorities);
    }
    changes
}

fn of_user(before: Option<&User>, now: Option<&User>) -> Option<&'static str> {
    match (before, now) {
        (None, Some(_)) => Some("may log in"),
        (Some(_), None) => Some("may not log in any more; its files and sessions stay"),
        (before, now) if before != now => Some("is changed, from its next login on"),
        _ => None,
    }
}

fn of_services(old: &Desired, new: &Desired, facts: &BTreeSet<&str>) -> Vec<Change> {
    let mut changes = Vec::new();
    let before = All::of(&old.machine);
    let now = All::after(&before, &new.machine);
    for (name, service) in &new.services {
        let change = match old.services.get(name) {
            None => Some(Change::Starts(name.clone())),
            Some(was) => of_service(name, (was, &before), (service, &now), facts),
        };
        changes.extend(change);
    }
    let gone = old
        .services
        .keys()
        .filter(|name| !new.services.contains_key(*name));
    let disabled = |name: &String| {
        let change = new.machine.services.get(name);
        change.and_then(|change| change.enabled) == Some(false)
    };
    changes.extend(gone.map(|name| match disabled(name) {
        true => Change::Disabled(name.clone()),
        false => Change::Stops(name.clone()),
    }));
    changes
}

fn of_service(
    name: &str,
    (before, old): (&Service, &All),
    (service, new): (&Service, &All),
    facts: &BTreeSet<&str>,
) -> Option<Change> {
    let restarts = |why: String| Some(Change::Restarts(name.to_owned(), why));
    if !launches_alike(before, service) {
        return restarts("its description has changed".to_owned());
    }
    if sections::concern(service, &old.read_by(service), &new.read_by(service)) {
        return restarts("its configuration has changed".to_owned());
    }
    let changed = |read: &[String]| {
        let fact = read.iter().find(|fact| facts.contains(fact.as_str()));
        fact.map(|fact| format!("{fact} has changed"))
    };
    if let Some(why) = changed(&service.lifecycle.restart_on) {
        return restarts(why);
    }
    match changed(&service.lifecycle.reload_on) {
        Some(why) => Some(Change::Reloads(name.to_owned(), why)),
        None => (before != service).then(|| Change::GoesOn(name.to_owned())),
    }
}

/// Whether the program of `a` is launched as that of `b`: they differ at most in how they are supervised.
pub(crate) fn launches_alike(a: &Service, b: &Service) -> bool {
    let mut other = b.clone();
    other.lifecycle.clone_from(&a.lifecycle);
    *a == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan;
    use nix::time::{ClockId, clock_gettime};
    use std::time::Duration;
    use tare_config::Layers;

    fn image() -> Services {
        let services = [
            ("log", "process = { args = ['/l'], config = ['log'] }"),
            (
                "ssh",
                "process = { args = ['/s'] }\nlifecycle = { restart-on = ['hosts'], reload-on = ['sshd_config'] }",
            ),
            (
                "time",
                "process = { args = ['/t'] }\nlifecycle = { restart-on = ['ntp.sources'] }",
            ),
            (
                "metrics",
                "process = { args = ['/m'], config = ['metrics'] }\nenabled-with = 'metrics.listen'",
            ),
        ];
        let service = |(name, text): (&str, &str)| {
            let text = format!("description = 'x'\n{text}");
            (
                name.to_owned(),
                tare_config::parse(name, text.as_bytes()).unwrap(),
            )
        };
        services.into_iter().map(service).collect()
    }

    fn links() -> BTreeSet<Link> {
        BTreeSet::from([Link {
            index: 2,
            name: "eth0".to_owned(),
        }])
    }

    fn desired(text: &str) -> Desired {
        let image = image();
        let mut layers = Layers::new(&image);
        layers.add("t", text.as_bytes());
        let made = layers.finish();
        assert_eq!(made.problems, []);
        let leases = plan::facts::Leases::new();
        Desired {
            facts: plan::facts::facts(&made.machine, &leases, "id"),
            network: plan::network::plan(&made.machine, &links(), &leases),
            services: made.services,
            machine: made.machine,
        }
    }

    #[test]
    fn the_effects_of_a_change() {
        for (old, new, want) in [
            ("", "", vec![]),
            ("hostname = 'a'", "hostname = 'a'", vec![]),
            (
                "",
                "hostname = 'b'",
                vec!["hostname: b", "ssh: restarts, hosts has changed"],
            ),
            ("time.zone = 'Asia/Tokyo'", "", vec!["time.zone: Etc/UTC"]),
            (
                "swap = { zram.size = '50%', file = '1GiB' }",
                "swap.zram.size = '60%'",
                vec![
                    "swap.zram: set",
                    "swap.file: taken away, once what is in it is back in memory",
                ],
            ),
            (
                "",
                "log.rate = 5",
                vec!["log: restarts, its configuration has changed"],
            ),
            (
                "",
                "time.servers = ['a.example']",
                vec!["time: restarts, ntp.sources has changed"],
            ),
            (
                "",
                "[services.ssh.environment]\nA = 'b'",
                vec!["ssh: restarts, its description has changed"],
            ),
            (
                "",
                "services.ssh.lifecycle.stop.grace = '3s'",
                vec!["ssh: goes on, supervised as described now"],
            ),
            (
                "",
                "metrics.listen = '127.0.0.1:9100'",
                vec!["metrics: starts"],
            ),
            (
                "",
                "services.time.enabled = false",
                vec!["time: stops, and is disabled"],
            ),
            (
                "[network.interfaces.eth0]\naddresses = ['10.0.0.2/24']\nmtu = 1400",
                "[network.interfaces.eth0]\naddresses = ['10.0.0.3/24']\ngateway = '10.0.0.1'",
                vec![
                    "network: eth0: loses mtu 1400",
                    "network: eth0: loses 10.0.0.2/24",
                    "network: eth0: gets 10.0.0.3/24",
                    "network: eth0: gets a default route by 10.0.0.1",
                ],
            ),
            (
                "sysctl.vm.swappiness = 5\nsysctl.vm.dirty_ratio = 9\nmodules = ['ip_vs']",
                "sysctl.vm.swappiness = 6\nmodules = ['dm_raid']",
                vec![
                    "sysctl: vm.swappiness = 6",
                    "sysctl: vm.dirty_ratio is what it was before",
                    "modules: dm_raid is loaded",
                    "modules: ip_vs stays loaded until the next boot",
                ],
            ),
            (
                "files = { '/srv/a' = { text = 'a' }, '/srv/b' = { text = 'b' }, '/srv/c' = { text = 'c' } }",
                "files = { '/srv/a' = { text = 'a' }, '/srv/b' = { text = 'b', mode = '0600' } }",
                vec!["files: /srv/b is written", "files: /srv/c stays as it is"],
            ),
            (
                "disks.a = { match.serial = 'A', mount = '/srv/a' }\n\
                 disks.b = { match.serial = 'B', mount = '/srv/b' }\n\
                 disks.c = { match.serial = 'C', mount = '/srv/c' }",
                "disks.a = { match.serial = 'A', mount = '/srv/a' }\n\
                 disks.b = { match.serial = 'B', mount = '/srv/x' }\n\
                 disks.d = { match.serial = 'D', mount = '/srv/d' }",
                vec![
                    "disks: b is changed; if it is mounted, it stays so until the next boot",
                    "disks: d is mounted on /srv/d if it is there",
                    "disks: c stays mounted on /srv/c until the next boot",
                ],
            ),
            (
                "",
                "ssh.port = 2222",
                vec!["ssh: reloads, sshd_config has changed"],
            ),
            (
                "[users.a]\n[users.b]\n[users.d]",
                "ssh.principals = ['ops']\n[users.a]\n[users.b]\nadmin = true\n[users.c]",
                vec![
                    "users: root is logged in by other keys or principals",
                    "users: b is changed, from its next login on",
                    "users: c may log in",
                    "users: d may not log in any more; its files and sessions stay",
                ],
            ),
            (
                "[users.heidi-peggy]",
                "[users.bob-simon]\n[users.heidi-peggy]",
                vec![
                    "users: bob-simon may log in",
                    "users: heidi-peggy has another id from its next login on; its files keep theirs",
                ],
            ),
            (
                "",
                "ssh.trusted-user-ca-keys = ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA']",
                vec!["ssh: certificates of other authorities log in"],
            ),
            (
                "",
                "motd = 'a'\nkernel.log-level = 'debug'\nwatchdog.enabled = false\ncontrol.others = 'status'",
                vec![
                    "motd: set",
                    "kernel.log-level: set",
                    "watchdog: set",
                    "control: set",
                ],
            ),
        ] {
            let changes = between(&desired(old), &desired(new), &links());
            let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
            assert_eq!(changes, want, "{old} -> {new}");
        }
    }

    /// The processor time of this thread.
    fn spent() -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
            .unwrap()
            .into()
    }

    /// How long it takes to find what another text of one of `count` apps changes.
    fn time_of(count: usize) -> Duration {
        let service = "description = 'x'\nfor-each = 'apps'\nprocess = { args = ['/a'], config = ['apps', 'log'] }";
        let service: Service = tare_config::parse("t", service.as_bytes()).unwrap();
        let names = || {
            let many = (1..count).map(|n| format!("a{n}"));
            many.chain(["z".to_owned()])
        };
        let instance = |name: String| {
            let mut instance = service.clone();
            instance.process.args.push(name.clone());
            (format!("app.{name}"), instance)
        };
        let desired = |last: &str| {
            let app = |name: String| format!("[apps.{name}]\ncompose = 'x'\n");
            let text: String = names().take(count - 1).map(app).collect();
            let text = format!("{text}[apps.z]\ncompose = '{last}'");
            let machine: Machine = tare_config::parse("t", text.as_bytes()).unwrap();
            Desired {
                services: names().map(instance).collect(),
                machine,
                ..Desired::default()
            }
        };
        let (old, new) = (desired("y"), desired("z"));
        assert_eq!(new.services.len(), count);
        let try_once = || {
            let begun = spent();
            let changes = between(&old, &new, &links());
            let why = "its configuration has changed".to_owned();
            assert_eq!(changes, [Change::Restarts("app.z".to_owned(), why)]);
            spent() - begun
        };
        (0..3).map(|_| try_once()).min().unwrap_or_default()
    }

    #[test]
    fn work_grows_with_the_number_of_apps_but_not_with_its_square() {
        let (few, many) = (time_of(100), time_of(800));
        // 8 times as many; their square is 64 times as much.
        assert!(many < few * 24, "{few:?} -> {many:?}");
    }
}
