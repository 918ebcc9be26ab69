//! The `process` object of the spec (runtime-spec, config.md, "Process").

use super::User;
use crate::paths;
use oci_spec::runtime::{
    Capabilities, Capability, LinuxCapabilities, PosixRlimit, PosixRlimitBuilder, PosixRlimitType,
    Process, User as OciUser,
};
use std::collections::BTreeMap;
use std::str::FromStr;
use tare_config::Service;

/// Debian's `PATH` of root; every root filesystem is made of Debian packages.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(super) fn process(service: &Service, user: &User) -> Process {
    let mut process = Process::default();
    process
        .set_terminal(None)
        .set_user(identity(user))
        .set_args(Some(service.process.args.clone()))
        .set_env(Some(environment(service, user)))
        .set_cwd(service.process.working_directory.clone().into())
        .set_capabilities(Some(capabilities(service, user)))
        .set_rlimits(Some(rlimits(service)))
        .set_oom_score_adj(Some(i32::from(service.resources.oom_score_adj)))
        .set_no_new_privileges(Some(service.sandbox.no_new_privileges));
    process
}

fn identity(user: &User) -> OciUser {
    let mut identity = OciUser::default();
    identity.set_uid(user.uid).set_gid(user.gid);
    identity
}

/// The service's own variables override ours.
fn environment(service: &Service, user: &User) -> Vec<String> {
    let mut environment: BTreeMap<&str, &str> = BTreeMap::from([("PATH", PATH)]);
    environment.insert("HOME", &user.home);
    if service.lifecycle.notifies() {
        environment.insert("NOTIFY_SOCKET", paths::NOTIFY_SOCKET_INSIDE);
    }
    environment.extend(service.environment.iter().map(|(k, v)| (&**k, &**v)));
    environment
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect()
}

/// A process that is not root loses its capabilities at `execve` unless they are ambient, and
/// ambient ones must be inheritable (`capabilities(7)`); root needs neither set.
fn capabilities(service: &Service, user: &User) -> LinuxCapabilities {
    let named = service.process.capabilities.iter();
    let kept: Capabilities = named
        .filter_map(|capability| {
            Capability::from_str(capability.name().trim_start_matches("CAP_")).ok()
        })
        .collect();
    let over_exec = if user.uid == 0 {
        Capabilities::new()
    } else {
        kept.clone()
    };
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(kept.clone()))
        .set_permitted(Some(kept.clone()))
        .set_effective(Some(kept))
        .set_inheritable(Some(over_exec.clone()))
        .set_ambient(Some(over_exec));
    sets
}

/// Soft and hard limits are equal: a service gets what it named. No core dumps, because they would not be read.
fn rlimits(service: &Service) -> Vec<PosixRlimit> {
    let limit = |typ, value: u64| -> PosixRlimit {
        let rlimit = PosixRlimitBuilder::default().typ(typ);
        // No field is required, so building cannot fail. The type has no setters to use instead.
        rlimit.soft(value).hard(value).build().unwrap_or_default()
    };
    vec![
        limit(
            PosixRlimitType::RlimitNofile,
            u64::from(service.resources.open_files),
        ),
        limit(PosixRlimitType::RlimitCore, 0),
    ]
}
