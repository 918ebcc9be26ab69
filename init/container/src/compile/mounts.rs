//! The `mounts` of the spec, parents before children.

use super::User;
use crate::{cgroup, paths};
use oci_spec::runtime::{Mount, Spec};
use std::collections::BTreeSet;
use std::path::Path;
use tare_config::Service;
use tare_config::service::{self, Namespace, Proc, Propagation, Source, Sys};

pub(super) fn mounts(name: &str, service: &Service, user: &User) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = kernel(service)
        .into_iter()
        .chain(memory())
        .chain(devices(service))
        .chain(from_pid1(name, service))
        .filter(|mount| !names_target(service, mount))
        .chain(service.mounts.iter().map(|m| described(m, service, user)))
        .collect();
    mounts.sort_by_key(|mount| mount.destination().components().count());
    mounts
}

/// True if the service itself has a mount at the target of `mount`.
fn names_target(service: &Service, mount: &Mount) -> bool {
    let target = mount.destination();
    service
        .mounts
        .iter()
        .any(|m| Path::new(&m.target) == target)
}

fn mount(typ: &str, source: &str, target: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_destination(target.into())
        .set_options(Some(options.iter().map(|&o| o.to_owned()).collect()));
    mount
}

/// `/proc`, and `/sys` with the cgroup tree if the service asks for it.
fn kernel(service: &Service) -> Vec<Mount> {
    let mut options = vec!["nosuid", "nodev", "noexec"];
    let view = match service.sandbox.sys {
        Sys::None => None,
        Sys::Masked => Some("ro"),
        Sys::Host => Some("rw"),
    };
    let sys = view.map(|view| [&options[..], &[view]].concat());
    if service.sandbox.proc == Proc::Processes {
        options.push("subset=pid");
    }
    let mut mounts = vec![mount("proc", "proc", "/proc", &options)];
    if let Some(options) = sys {
        mounts.push(mount("sysfs", "sysfs", "/sys", &options));
        mounts.push(cgroups(service, &options));
    }
    mounts
}

/// In the host's cgroup namespace a new mount would change the options of the host's own (`apply_cgroup_root_flags`
/// in kernel/cgroup/cgroup.c), so the host's is bind-mounted there.
fn cgroups(service: &Service, options: &[&str]) -> Mount {
    if service.sandbox.joins(Namespace::Cgroup) {
        let options = [&["rbind", "rprivate"], options].concat();
        return mount("bind", cgroup::ROOT, cgroup::ROOT, &options);
    }
    // `cgroup` is the runtime spec's name for either version.
    mount("cgroup", "cgroup", cgroup::ROOT, options)
}

/// Directories where programs expect to write. They are small because they count against the service's memory;
/// anything larger needs its own mount.
fn memory() -> [Mount; 2] {
    let options = |mode, size| ["nosuid", "nodev", mode, size];
    [
        mount("tmpfs", "tmpfs", "/run", &options("mode=755", "size=4m")),
        mount("tmpfs", "tmpfs", "/tmp", &options("mode=1777", "size=16m")),
    ]
}

fn devices(service: &Service) -> Vec<Mount> {
    if service.sandbox.all_devices() {
        return vec![mount("bind", "/dev", "/dev", &["rbind", "rprivate"])];
    }
    let named = service.sandbox.devices.iter();
    let mut mounts = own_dev(service);
    mounts.extend(named.map(|node| mount("bind", node, node, &["bind", "rprivate", "noexec"])));
    mounts
}

/// Group 5 is `tty` on Debian (base-passwd), which may write to terminals. A service's own user namespace does not
/// have it.
fn own_dev(service: &Service) -> Vec<Mount> {
    let mut pts = vec![
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ];
    if !service.has_own_users() {
        pts.push("gid=5");
    }
    let shm = ["nosuid", "nodev", "noexec", "mode=1777", "size=64m"];
    let queues = ["nosuid", "nodev", "noexec"];
    vec![
        mount(
            "tmpfs",
            "tmpfs",
            "/dev",
            &["nosuid", "noexec", "mode=755", "size=64k"],
        ),
        mount("devpts", "devpts", "/dev/pts", &pts),
        mount("tmpfs", "shm", "/dev/shm", &shm),
        mount("mqueue", "mqueue", "/dev/mqueue", &queues),
    ]
}

/// What PID 1 keeps for the service in `/run/tare`.
fn from_pid1(name: &str, service: &Service) -> Vec<Mount> {
    let facts = service.sandbox.joins(Namespace::Network);
    let notify = service.lifecycle.notifies();
    let config = !service.process.config.is_empty();
    let options = ["bind", "rprivate", "ro", "nosuid", "nodev", "noexec"];
    let bind = |wanted: bool, source: String, target| {
        wanted.then(|| mount("bind", &source, target, &options))
    };
    [
        bind(
            // A single service must not put anything into the host's own `/dev`.
            service.process.log_socket && !service.sandbox.all_devices(),
            paths::LOG_SOCKET.to_owned(),
            paths::LOG_SOCKET_INSIDE,
        ),
        bind(
            facts,
            paths::HOST_FACTS.to_owned(),
            paths::HOST_FACTS_INSIDE,
        ),
        bind(notify, paths::notify(name), paths::NOTIFY_INSIDE),
        bind(config, paths::config(name), paths::CONFIG_INSIDE),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A mount that the service describes.
fn described(mount: &service::Mount, service: &Service, user: &User) -> Mount {
    match &mount.source {
        Source::Tmpfs(size) => tmpfs(mount, size.0, user),
        Source::Volume(name) => bind(mount, below(mount), &paths::volume(name), service),
        Source::Shared(name) => bind(mount, below(mount), &paths::shared(name), service),
        Source::Host(path) => bind(mount, "rbind", path, service),
    }
}

fn tmpfs(described: &service::Mount, size: u64, user: &User) -> Mount {
    let owner = [format!("uid={}", user.uid), format!("gid={}", user.gid)];
    let size = format!("size={size}");
    let options = ["nosuid", "nodev", "mode=755", &size, &owner[0], &owner[1]];
    mount("tmpfs", "tmpfs", &described.target, &options)
}

/// With propagation, a service also gets the mounts that its previous run left there.
fn below(described: &service::Mount) -> &'static str {
    match described.propagation {
        Propagation::Private => "bind",
        Propagation::Slave | Propagation::Shared => "rbind",
    }
}

/// A service that may mount could undo `nosuid` and `nodev`, and it runs containers whose own volumes would inherit
/// them. It gets the mount with the host's options.
fn bind(described: &service::Mount, kind: &str, source: &str, service: &Service) -> Mount {
    let propagation = match described.propagation {
        Propagation::Private => "rprivate",
        Propagation::Slave => "rslave",
        Propagation::Shared => "rshared",
    };
    let mut options = vec![kind, propagation];
    if !holds(service, "CAP_SYS_ADMIN") {
        options.extend(["nosuid", "nodev"]);
    }
    if described.read_only {
        options.push(if kind == "rbind" { "rro" } else { "ro" });
    }
    mount("bind", source, &described.target, &options)
}

fn holds(service: &Service, capability: &str) -> bool {
    let mut held = service.process.capabilities.iter();
    held.any(|held| held.name() == capability)
}

/// The directories that the root filesystem of `spec` must have, because it is read-only when the mounts are made:
/// the target of every mount that is not inside another mount, parents first.
///
/// All are directories: single files are only ever bind-mounted into `/dev`, which is in memory.
#[must_use]
pub fn mount_points(spec: &Spec) -> Vec<String> {
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let targets: BTreeSet<&Path> = mounts.iter().map(|m| m.destination().as_path()).collect();
    let covered = |target: &Path| target.ancestors().skip(1).any(|a| targets.contains(a));
    targets
        .iter()
        .filter(|target| !covered(target))
        .map(|target| target.to_string_lossy().into_owned())
        .collect()
}
