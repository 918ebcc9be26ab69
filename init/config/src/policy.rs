//! What services of the user may do at most.
//!
//! A service of the image has the rights that it names, because the image is verified. What a service that user-data
//! brings runs comes from a registry. It has the rights that user-data gives it, as far as the image allows.

use crate::service::{
    Capability, Mount, Namespace, Proc, Propagation, SeccompProfile, Services, Source, Sys,
};
use crate::user_service::UserService;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// `[policy]` of the image. By default a service of the user may do no more than a container of Docker, and may join
/// the host's network.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Policy {
    /// Namespaces of the host that it may join.
    pub host_namespaces: Vec<Namespace>,
    /// Capabilities that it may keep.
    pub capabilities: Vec<Capability>,
    /// Device nodes that it may have.
    pub devices: Vec<String>,
    /// Folders that it may mount, and what is below them.
    pub folders: Vec<String>,
    /// Directories of the image's services that it may share.
    pub shared: Vec<String>,
    /// The most that it may see of `/proc`.
    pub proc: Proc,
    /// The most that it may see of `/sys`.
    pub sys: Sys,
    /// Whether it may make every system call.
    pub unconfined: bool,
}

/// Docker's default set (moby, `oci/caps/defaults.go`) without `CAP_MKNOD`: services have no device cgroup, so that a
/// node of any disk could be made in `/dev`.
const CAPABILITIES: [&str; 13] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
/// Where users keep files, as containers and logins see them.
const FOLDERS: [&str; 5] = ["/data", "/home", "/mnt", "/opt", "/srv"];
/// What the launcher mounts. A mount of the service's own there would hide what the launcher and the service rely on.
const OURS: [&str; 6] = [
    "/dev",
    "/proc",
    "/run/config",
    "/run/host",
    "/run/notify",
    "/sys",
];

impl Default for Policy {
    fn default() -> Self {
        let known = |name: &str| Capability::try_from(name.to_owned()).ok();
        Self {
            host_namespaces: vec![Namespace::Network],
            capabilities: CAPABILITIES.into_iter().filter_map(known).collect(),
            devices: Vec::new(),
            folders: FOLDERS.map(str::to_owned).to_vec(),
            shared: Vec::new(),
            proc: Proc::Masked,
            sys: Sys::Masked,
            unconfined: false,
        }
    }
}

/// What a service asks for and does not get. It does not start: with less than it asks for, it might do something else
/// than what it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excess {
    /// Its key below the service, as in `sandbox.devices`.
    pub key: &'static str,
    /// What is too much, and what would be allowed.
    pub message: String,
}

impl fmt::Display for Excess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Policy {
    /// Everything that `service` asks for beyond this policy, or that only a service of the image (`installed`) can
    /// have.
    #[must_use]
    pub fn excess(&self, service: &UserService, installed: &Services) -> Vec<Excess> {
        let mut excess = self.too_much_sandbox(service);
        let mounts = service.mounts.iter();
        excess.extend(mounts.filter_map(|mount| self.too_much_mount(mount, installed)));
        excess.extend(of_the_image_only(service));
        excess
    }

    fn too_much_sandbox(&self, service: &UserService) -> Vec<Excess> {
        let sandbox = &service.sandbox;
        let capabilities = names(&service.process.capabilities, Capability::name);
        let allowed = names(&self.capabilities, Capability::name);
        let namespaces = names(&sandbox.host_namespaces, |joined| namespace(joined));
        let joined = names(&self.host_namespaces, |joined| namespace(joined));
        let devices = names(&sandbox.devices, |device| device);
        let nodes = names(&self.devices, |device| device);
        let mut excess = beyond("process.capabilities", &capabilities, &allowed);
        excess.extend(beyond("sandbox.host-namespaces", &namespaces, &joined));
        excess.extend(beyond("sandbox.devices", &devices, &nodes));
        if of_proc(sandbox.proc) > of_proc(self.proc) {
            excess.push(refused("sandbox.proc", "shows more of /proc"));
        }
        if of_sys(sandbox.sys) > of_sys(self.sys) {
            excess.push(refused("sandbox.sys", "shows more of /sys"));
        }
        if sandbox.seccomp == SeccompProfile::Unconfined && !self.unconfined {
            excess.push(refused("sandbox.seccomp", "allows more system calls"));
        }
        excess
    }

    fn too_much_mount(&self, mount: &Mount, installed: &Services) -> Option<Excess> {
        let target = Path::new(&mount.target);
        let ours = OURS.iter().find(|ours| target.starts_with(ours));
        let why = match (&mount.source, ours) {
            _ if target == Path::new("/") => "the image is there".to_owned(),
            (_, Some(ours)) => format!("{ours} belongs to the system"),
            _ if mount.propagation != Propagation::Private => {
                "only a service of the image has mounts that propagate".to_owned()
            }
            (Source::Tmpfs(_), _) => return None,
            (Source::Volume(name), _) => {
                let owner = owner(name, installed)?;
                format!("volume `{name}` is that of service {owner}, which is the image's")
            }
            (Source::Shared(name), _) => match self.shared.contains(name) {
                true => return None,
                false => format!("`{name}` is not shared with it; {}", only(&self.shared)),
            },
            (Source::Host(path), _) => match is_below(path, &self.folders) {
                true => return None,
                false => format!(
                    "`{path}` is not among its folders; {}, and what is below",
                    only(&self.folders)
                ),
            },
        };
        Some(Excess {
            key: "mounts",
            message: format!("target {}: {why}", mount.target),
        })
    }
}

/// Keys that put a service before others, or the machine after it.
fn of_the_image_only(service: &UserService) -> impl Iterator<Item = Excess> {
    let lifecycle = &service.lifecycle;
    [
        (lifecycle.required, "lifecycle.required", "it"),
        (lifecycle.without_state, "lifecycle.without-state", "it"),
        (lifecycle.stop.last, "lifecycle.stop.last", "it"),
        (
            service.resources.oom_score_adj < 0,
            "resources.oom-score-adj",
            "less than 0",
        ),
    ]
    .into_iter()
    .filter(|(set, ..)| *set)
    .map(|(_, key, what)| Excess {
        key,
        message: format!("only a service of the image can have {what}"),
    })
}

fn names<'a, T>(list: &'a [T], name: impl Fn(&'a T) -> &'a str) -> Vec<&'a str> {
    list.iter().map(name).collect()
}

/// One answer for each of `asked` that is not `allowed`.
fn beyond(key: &'static str, asked: &[&str], allowed: &[&str]) -> Vec<Excess> {
    let excess = asked.iter().filter(|name| !allowed.contains(name));
    excess
        .map(|name| Excess {
            key,
            message: format!("`{name}` is not allowed; {}", only(allowed)),
        })
        .collect()
}

/// What the policy allows, for a message.
fn only<T: AsRef<str>>(allowed: &[T]) -> String {
    let allowed: Vec<&str> = allowed.iter().map(AsRef::as_ref).collect();
    match allowed.is_empty() {
        true => "[policy] of the image allows none".to_owned(),
        false => format!("[policy] of the image allows {}", allowed.join(", ")),
    }
}

fn refused(key: &'static str, what: &str) -> Excess {
    Excess {
        key,
        message: format!("{what} than [policy] of the image allows"),
    }
}

/// The service of the image that mounts volume `name`.
fn owner<'a>(name: &str, installed: &'a Services) -> Option<&'a str> {
    let is_volume = |mount: &Mount| matches!(&mount.source, Source::Volume(of) if of == name);
    installed
        .iter()
        .find(|(_, service)| service.mounts.iter().any(is_volume))
        .map(|(owner, _)| owner.as_str())
}

/// As it is written.
fn namespace(namespace: &Namespace) -> &'static str {
    match namespace {
        Namespace::Network => "network",
        Namespace::Pid => "pid",
        Namespace::Cgroup => "cgroup",
        Namespace::Ipc => "ipc",
        Namespace::Uts => "uts",
        Namespace::User => "user",
    }
}

/// `..` is not in a mount's paths.
fn is_below(path: &str, folders: &[String]) -> bool {
    folders
        .iter()
        .any(|folder| Path::new(path).starts_with(folder))
}

fn of_proc(proc: Proc) -> u8 {
    match proc {
        Proc::Processes => 0,
        Proc::Masked => 1,
        Proc::Host => 2,
    }
}

fn of_sys(sys: Sys) -> u8 {
    match sys {
        Sys::None => 0,
        Sys::Masked => 1,
        Sys::Host => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::services_of;

    fn excess(policy: &str, service: &str) -> Vec<String> {
        let installed = services_of(&[(
            "ssh",
            "process={args=['/s']}\nmounts=[{volume='ssh',target='/k'}]",
        )]);
        let policy: Policy = crate::parse("tare.toml", policy.as_bytes()).unwrap();
        let service = format!("image = 'web'\n{service}");
        let service: UserService = crate::parse("user-data", service.as_bytes()).unwrap();
        let excess = policy.excess(&service, &installed);
        excess.iter().map(Excess::to_string).collect()
    }

    #[test]
    fn what_docker_allows_is_allowed() {
        let service = "\
process = { capabilities = ['CAP_CHOWN', 'CAP_NET_BIND_SERVICE', 'CAP_SETUID'] }
sandbox = { host-namespaces = ['network'], proc = 'masked', sys = 'masked', read-only-rootfs = false, no-new-privileges = false }
mounts = [
    { volume = 'web', target = '/var/lib/web' },
    { tmpfs = '1MiB', target = '/tmp' },
    { host = '/srv/web', target = '/srv', read-only = true },
    { host = '/home', target = '/homes' },
]
resources = { memory-max = '1GiB', pids-max = 0 }
lifecycle = { after = ['network:online'], health = { tcp = 80 } }";
        assert_eq!(excess("", service), [""; 0]);
    }

    #[test]
    fn what_is_too_much_is_said_with_what_is_allowed() {
        let folders =
            "[policy] of the image allows /data, /home, /mnt, /opt, /srv, and what is below";
        for (service, want) in [
            (
                "sandbox.host-namespaces = ['network', 'pid']",
                "sandbox.host-namespaces: `pid` is not allowed; [policy] of the image allows network",
            ),
            (
                "process.capabilities = ['CAP_MKNOD']",
                "process.capabilities: `CAP_MKNOD` is not allowed; [policy] of the image allows \
                 CAP_AUDIT_WRITE, CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_KILL, \
                 CAP_NET_BIND_SERVICE, CAP_NET_RAW, CAP_SETFCAP, CAP_SETGID, CAP_SETPCAP, \
                 CAP_SETUID, CAP_SYS_CHROOT",
            ),
            (
                "sandbox.devices = ['/dev/kvm']",
                "sandbox.devices: `/dev/kvm` is not allowed; [policy] of the image allows none",
            ),
            (
                "sandbox.devices = ['all']",
                "sandbox.devices: `all` is not allowed; [policy] of the image allows none",
            ),
            (
                "sandbox.proc = 'host'",
                "sandbox.proc: shows more of /proc than [policy] of the image allows",
            ),
            (
                "sandbox.sys = 'host'",
                "sandbox.sys: shows more of /sys than [policy] of the image allows",
            ),
            (
                "sandbox.seccomp = 'unconfined'",
                "sandbox.seccomp: allows more system calls than [policy] of the image allows",
            ),
            (
                "mounts = [{ host = '/', target = '/host' }]",
                &*format!("mounts: target /host: `/` is not among its folders; {folders}"),
            ),
            (
                "mounts = [{ host = '/srvx', target = '/a' }]",
                &*format!("mounts: target /a: `/srvx` is not among its folders; {folders}"),
            ),
            (
                "mounts = [{ shared = 'engine', target = '/run/engine' }]",
                "mounts: target /run/engine: `engine` is not shared with it; \
                 [policy] of the image allows none",
            ),
            (
                "mounts = [{ volume = 'ssh', target = '/keys' }]",
                "mounts: target /keys: volume `ssh` is that of service ssh, which is the image's",
            ),
            (
                "mounts = [{ volume = 'web', target = '/a', propagation = 'shared' }]",
                "mounts: target /a: only a service of the image has mounts that propagate",
            ),
            (
                "mounts = [{ tmpfs = '1MiB', target = '//proc/./sys' }]",
                "mounts: target //proc/./sys: /proc belongs to the system",
            ),
            (
                "mounts = [{ tmpfs = '1MiB', target = '/run/notify' }]",
                "mounts: target /run/notify: /run/notify belongs to the system",
            ),
            (
                "mounts = [{ volume = 'web', target = '/' }]",
                "mounts: target /: the image is there",
            ),
            (
                "lifecycle.required = true",
                "lifecycle.required: only a service of the image can have it",
            ),
            (
                "lifecycle.without-state = true",
                "lifecycle.without-state: only a service of the image can have it",
            ),
            (
                "lifecycle.stop.last = true",
                "lifecycle.stop.last: only a service of the image can have it",
            ),
            (
                "resources.oom-score-adj = -1",
                "resources.oom-score-adj: only a service of the image can have less than 0",
            ),
        ] {
            assert_eq!(excess("", service), [want]);
        }
    }

    #[test]
    fn a_policy_allows_more_or_less() {
        let kvm = "sandbox.devices = ['/dev/kvm']";
        assert_eq!(excess("devices = ['/dev/kvm']", kvm), [""; 0]);
        assert_eq!(
            excess(
                "shared = ['engine']",
                "mounts = [{ shared = 'engine', target = '/e' }]"
            ),
            [""; 0]
        );
        let pid = "sandbox.host-namespaces = ['pid']";
        assert_eq!(excess("host-namespaces = ['pid']", pid), [""; 0]);
        assert_eq!(
            excess(
                "host-namespaces = []",
                "sandbox.host-namespaces = ['network']"
            ),
            [
                "sandbox.host-namespaces: `network` is not allowed; [policy] of the image allows none"
            ]
        );
        let sees = "sandbox = { proc = 'host', sys = 'host', seccomp = 'unconfined' }";
        let all = "proc = 'host'\nsys = 'host'\nunconfined = true";
        assert_eq!(excess(all, sees), [""; 0]);
        assert_eq!(
            excess("proc = 'processes'", "sandbox.proc = 'masked'"),
            ["sandbox.proc: shows more of /proc than [policy] of the image allows"]
        );
    }

    #[test]
    fn all_that_is_too_much_is_said_at_once() {
        let service = "sandbox = { devices = ['/dev/a', '/dev/b'] }\nlifecycle.required = true";
        assert_eq!(excess("", service).len(), 3);
    }
}
