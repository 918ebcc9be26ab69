//! The `linux` object of the spec (runtime-spec, config-linux.md).

use super::User;
use crate::paths;
use crate::seccomp;
use oci_spec::runtime::{
    Linux, LinuxDeviceCgroup, LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace,
    LinuxNamespaceType, LinuxResources,
};
use std::collections::HashMap;
use tare_config::Service;
use tare_config::service::{Namespace, Proc, Propagation, Resources, Sys};

/// Hidden in a masked filesystem, as in Docker. Without `sched_debug` and `timer_stats`, which no kernel has had
/// since 5.13.
const MASKED_PROC: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/timer_list",
];
const MASKED_SYS: &[&str] = &["/sys/devices/virtual/powercap", "/sys/firmware"];
/// Paths that would reconfigure the kernel, as in Docker. `/sys` is read-only as a whole.
const READ_ONLY_PROC: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

/// Debian's `nobody` and `nogroup`.
const NOBODY: u32 = 65534;

pub(super) fn linux(name: &str, service: &Service, user: &User) -> Linux {
    let mut linux = Linux::default();
    if service.has_own_users() {
        linux
            .set_uid_mappings(Some(only(user.uid)))
            .set_gid_mappings(Some(only(user.gid)));
    }
    linux
        .set_namespaces(Some(namespaces(service)))
        .set_cgroups_path(Some(format!("{}/{name}", paths::SERVICES_CGROUP).into()))
        .set_resources(Some(resources(service)))
        .set_seccomp(seccomp::Profile::of(service).map(|profile| profile.oci()))
        .set_rootfs_propagation(rootfs_propagation(service))
        .set_masked_paths(Some(masked_paths(service)))
        .set_readonly_paths(Some(read_only_paths(service)));
    linux
}

fn namespaces(service: &Service) -> Vec<LinuxNamespace> {
    let shareable = [
        (Namespace::Network, LinuxNamespaceType::Network),
        (Namespace::Pid, LinuxNamespaceType::Pid),
        (Namespace::Cgroup, LinuxNamespaceType::Cgroup),
        (Namespace::Ipc, LinuxNamespaceType::Ipc),
        (Namespace::Uts, LinuxNamespaceType::Uts),
    ];
    let own = shareable
        .into_iter()
        .filter(|(shared, _)| !service.sandbox.joins(*shared));
    let users = service.has_own_users().then_some(LinuxNamespaceType::User);
    std::iter::once(LinuxNamespaceType::Mount)
        .chain(own.map(|(_, typ)| typ))
        .chain(users)
        .map(namespace)
        .collect()
}

/// The mappings of a user namespace that has only `id`. `runc` needs a root in its container to set it up; here, one
/// that is `nobody` on the host. Our own launch needs none and maps only `id`.
fn only(id: u32) -> Vec<LinuxIdMapping> {
    match id {
        0 => vec![mapping(0, 0)],
        _ => vec![mapping(0, NOBODY), mapping(id, id)],
    }
}

fn mapping(inside: u32, outside: u32) -> LinuxIdMapping {
    let mapping = LinuxIdMappingBuilder::default();
    let one = mapping.container_id(inside).host_id(outside).size(1u32);
    // No field is required, so building cannot fail. The type has no setters to use instead.
    one.build().unwrap_or_default()
}

fn namespace(typ: LinuxNamespaceType) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace.set_typ(typ);
    namespace
}

fn resources(service: &Service) -> LinuxResources {
    let mut resources = LinuxResources::default();
    resources
        .set_devices(Some(vec![device_rule(service)]))
        .set_unified(Some(limits(&service.resources)));
    resources
}

/// For `runc` and `crun`, which add the harmless nodes themselves. Node numbers are not known when the image is
/// built, so a service that names any node may open every node it can reach: without `CAP_MKNOD`, those that are
/// bind-mounted into its `/dev`.
fn device_rule(service: &Service) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(!service.sandbox.devices.is_empty())
        .set_access(Some("rwm".to_owned()));
    rule
}

/// cgroup v2 files by name, so that nothing has to be converted from v1's units and back.
fn limits(resources: &Resources) -> HashMap<String, String> {
    let some = |value: u64, none: u64| (value != none).then(|| value.to_string());
    let files = [
        (
            "memory.max",
            resources.memory_max.map(|max| max.0.to_string()),
        ),
        (
            "memory.high",
            resources
                .memory_max
                .map(|max| held_up_at(max.0).to_string()),
        ),
        (
            "memory.min",
            resources.memory_min.map(|min| min.0.to_string()),
        ),
        ("pids.max", some(u64::from(resources.pids_max), 0)),
        ("cpu.weight", some(u64::from(resources.cpu_weight), 100)),
    ];
    files
        .into_iter()
        .filter_map(|(file, value)| Some((file.to_owned(), value?)))
        .collect()
}

/// The number of bytes from which the kernel slows down a service that may have `max`.
///
/// Without it, a service that writes faster than the disk is OOM-killed: the kernel counts the dirty pages of a
/// cgroup up to four seconds late (6.12, `mem_cgroup_flush_stats_ratelimited`), and at `memory.max` it does not wait
/// for them. A service that only allocates is killed slightly later.
const fn held_up_at(max: u64) -> u64 {
    max - max / 32
}

/// A service that shares a mount may share all, as on a host: containers may then ask for `rslave` and `rshared`.
/// `runc` makes every mount of the container a slave unless the spec says otherwise; our launch takes the propagation
/// of the others from each mount.
fn rootfs_propagation(service: &Service) -> Option<String> {
    let shared = |mount: &tare_config::service::Mount| mount.propagation == Propagation::Shared;
    service
        .mounts
        .iter()
        .any(shared)
        .then(|| "shared".to_owned())
}

fn masked_paths(service: &Service) -> Vec<String> {
    let proc = only_if(service.sandbox.proc == Proc::Masked, MASKED_PROC);
    let sys = only_if(service.sandbox.sys == Sys::Masked, MASKED_SYS);
    proc.chain(sys).collect()
}

fn read_only_paths(service: &Service) -> Vec<String> {
    only_if(service.sandbox.proc == Proc::Masked, READ_ONLY_PROC).collect()
}

fn only_if(masked: bool, paths: &'static [&'static str]) -> impl Iterator<Item = String> {
    let paths = if masked { paths } else { &[] };
    paths.iter().map(|path| (*path).to_owned())
}
