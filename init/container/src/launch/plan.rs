//! Spec -> what the child has to do, as data in the kernel's own terms. Pure: every choice, and every
//! allocation that can be large, is made here, before there is a second process.

use super::LaunchError;
use super::options::MountOptions;
use crate::bundle::Bundle;
use crate::paths;
use nix::sched::CloneFlags;
use nix::sys::resource::Resource;
use nix::unistd::{Gid, Uid};
use oci_spec::runtime::{
    Capabilities, Linux, LinuxNamespaceType, Mount, PosixRlimit, PosixRlimitType, Process, User,
};
use std::ffi::{CStr, CString};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use tare_config::service::CAPABILITIES;

/// Everything that the child does between `clone3` and `execve`.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) namespaces: CloneFlags,
    /// Entered by the child: `clone3` would root it in the cgroup of the parent, not in that of
    /// `CLONE_INTO_CGROUP` (`copy_cgroup_ns` in kernel/cgroup/namespace.c).
    pub(super) cgroup_namespace: bool,
    /// Entered last of all: until then the child needs its rights on the host.
    pub(super) user_namespace: bool,
    pub(super) rootfs: CString,
    pub(super) read_only_rootfs: bool,
    /// Whether programs in the container may share what they mount, as on a host.
    pub(super) shared_rootfs: bool,
    pub(super) mounts: Vec<PlannedMount>,
    /// The container has its own `/dev`, to be filled.
    pub(super) own_dev: bool,
    pub(super) masked_paths: Vec<CString>,
    pub(super) read_only_paths: Vec<CString>,
    pub(super) rlimits: Vec<(Resource, u64, u64)>,
    pub(super) oom_score_adj: Option<String>,
    pub(super) working_directory: CString,
    pub(super) identity: Identity,
    pub(super) filter: Option<Vec<u8>>,
    /// Candidate paths of the program. The first one that exists is executed.
    pub(super) programs: Vec<CString>,
    pub(super) argv: Vec<CString>,
    pub(super) envp: Vec<CString>,
}

/// A mount with its flags in the kernel's terms.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PlannedMount {
    pub(super) target: CString,
    pub(super) source: CString,
    /// The source is inside a folder that services write to.
    pub(super) in_volume: bool,
    pub(super) options: MountOptions,
    /// The target is inside an earlier mount, which may not have it yet.
    pub(super) make_target: bool,
    /// `None` for a bind mount.
    pub(super) fstype: Option<CString>,
}

/// The identity of the process. Sets of capabilities have bit N for capability N.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
    pub(super) bounding: u64,
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
    pub(super) ambient: u64,
    pub(super) no_new_privileges: bool,
}

impl Plan {
    /// The plan of `bundle`, with `arguments` and `environment` (`KEY=VALUE`) added to what it says.
    pub(super) fn of(
        bundle: &Bundle,
        arguments: &[String],
        environment: &[String],
    ) -> Result<Self, LaunchError> {
        let process = required(bundle.spec.process().as_ref(), "process")?;
        let linux = required(bundle.spec.linux().as_ref(), "linux")?;
        let root = required(bundle.spec.root().as_ref(), "root")?;
        let program = required(process.args().iter().flatten().next(), "process.args")?;
        let mounts = planned_mounts(bundle.spec.mounts().as_deref().unwrap_or_default())?;
        Ok(Self {
            namespaces: namespaces(linux)?,
            cgroup_namespace: has_namespace(linux, LinuxNamespaceType::Cgroup),
            user_namespace: has_namespace(linux, LinuxNamespaceType::User),
            rootfs: c_path(&bundle.path.join(root.path()))?,
            read_only_rootfs: root.readonly() == Some(true),
            shared_rootfs: linux.rootfs_propagation().as_deref() == Some("shared"),
            own_dev: mounts.iter().any(PlannedMount::is_own_dev),
            mounts,
            masked_paths: c_strings(linux.masked_paths().iter().flatten())?,
            read_only_paths: c_strings(linux.readonly_paths().iter().flatten())?,
            rlimits: rlimits(process)?,
            oom_score_adj: process.oom_score_adj().map(|adj| adj.to_string()),
            working_directory: c_path(process.cwd())?,
            identity: Identity::of(process),
            filter: bundle.filter.clone(),
            programs: vec![c_string(program.as_bytes())?],
            argv: c_strings(process.args().iter().flatten().chain(arguments))?,
            envp: c_strings(merged(process.env().iter().flatten(), environment))?,
        })
    }
}

/// A cgroup to create.
#[derive(Debug)]
pub(super) struct Cgroup<'a> {
    /// Absolute path in the cgroup tree.
    pub(super) path: &'a Path,
    /// Its files that differ from the kernel's defaults, with their contents.
    pub(super) limits: Vec<(&'a str, &'a str)>,
}

impl<'a> Cgroup<'a> {
    pub(super) fn of(bundle: &'a Bundle) -> Result<Self, LaunchError> {
        let linux = required(bundle.spec.linux().as_ref(), "linux")?;
        let path = required(linux.cgroups_path().as_ref(), "linux.cgroupsPath")?;
        let resources = linux.resources().as_ref();
        let unified = resources.and_then(|resources| resources.unified().as_ref());
        let limits = unified.into_iter().flatten();
        Ok(Self {
            path,
            limits: limits.map(|(file, value)| (&**file, &**value)).collect(),
        })
    }
}

impl Identity {
    fn of(process: &Process) -> Self {
        let user: &User = process.user();
        let sets = process.capabilities().clone().unwrap_or_default();
        let groups = user.additional_gids().iter().flatten();
        Self {
            uid: Uid::from_raw(user.uid()),
            gid: Gid::from_raw(user.gid()),
            groups: groups.map(|gid| Gid::from_raw(*gid)).collect(),
            bounding: bits(sets.bounding().as_ref()),
            effective: bits(sets.effective().as_ref()),
            permitted: bits(sets.permitted().as_ref()),
            inheritable: bits(sets.inheritable().as_ref()),
            ambient: bits(sets.ambient().as_ref()),
            no_new_privileges: process.no_new_privileges() == Some(true),
        }
    }
}

fn bits(set: Option<&Capabilities>) -> u64 {
    let names: Vec<String> = set
        .into_iter()
        .flatten()
        .map(|capability| format!("CAP_{capability}"))
        .collect();
    let numbered = CAPABILITIES.iter().enumerate();
    numbered
        .filter(|(_, name)| names.iter().any(|held| held == *name))
        .fold(0, |bits, (number, _)| bits | 1 << number)
}

fn namespaces(linux: &Linux) -> Result<CloneFlags, LaunchError> {
    let mut flags = CloneFlags::empty();
    for namespace in linux.namespaces().iter().flatten() {
        flags |= match namespace.typ() {
            LinuxNamespaceType::Mount => CloneFlags::CLONE_NEWNS,
            LinuxNamespaceType::Network => CloneFlags::CLONE_NEWNET,
            LinuxNamespaceType::Pid => CloneFlags::CLONE_NEWPID,
            LinuxNamespaceType::Ipc => CloneFlags::CLONE_NEWIPC,
            LinuxNamespaceType::Uts => CloneFlags::CLONE_NEWUTS,
            LinuxNamespaceType::Cgroup | LinuxNamespaceType::User => CloneFlags::empty(),
            other => return Err(invalid(format!("namespace {other} is not supported"))),
        };
    }
    if !flags.contains(CloneFlags::CLONE_NEWNS) {
        return Err(invalid(
            "a mount namespace of its own is missing".to_owned(),
        ));
    }
    Ok(flags)
}

fn has_namespace(linux: &Linux, typ: LinuxNamespaceType) -> bool {
    let mut namespaces = linux.namespaces().iter().flatten();
    namespaces.any(|namespace| namespace.typ() == typ)
}

fn planned_mounts(mounts: &[Mount]) -> Result<Vec<PlannedMount>, LaunchError> {
    let earlier = |place: usize| mounts[..place].iter().map(|mount| mount.destination());
    let inside = |place: usize| {
        let target = mounts[place].destination();
        earlier(place).any(|outer| outer != target && target.starts_with(outer))
    };
    let planned = mounts.iter().enumerate();
    planned
        .map(|(place, mount)| PlannedMount::of(mount, inside(place)))
        .collect()
}

impl PlannedMount {
    fn of(mount: &Mount, make_target: bool) -> Result<Self, LaunchError> {
        let options = MountOptions::parse(mount.options().as_deref().unwrap_or_default())
            .map_err(|why| invalid(format!("mount on {}: {why}", mount.destination().display())))?;
        // The runtime spec calls both versions `cgroup`; ours is the second.
        let fstype = match mount.typ().as_deref() {
            Some("cgroup") => "cgroup2",
            Some(fstype) => fstype,
            None => "none",
        };
        let source = mount.source().as_deref().unwrap_or(Path::new("none"));
        Ok(Self {
            target: c_path(mount.destination())?,
            source: c_path(source)?,
            in_volume: is_in_volume(source),
            fstype: (!options.bind)
                .then(|| c_string(fstype.as_bytes()))
                .transpose()?,
            make_target,
            options,
        })
    }

    fn is_own_dev(&self) -> bool {
        self.target.as_bytes() == b"/dev" && self.fstype.is_some()
    }
}

/// Whether `path` is below a volume or shared directory; those themselves are made by PID 1.
fn is_in_volume(path: &Path) -> bool {
    [paths::VOLUMES, paths::SHARES].iter().any(|folder| {
        let inside = path.strip_prefix(folder);
        inside.is_ok_and(|inside| inside.components().count() > 1)
    })
}

fn rlimits(process: &Process) -> Result<Vec<(Resource, u64, u64)>, LaunchError> {
    process.rlimits().iter().flatten().map(rlimit).collect()
}

fn rlimit(limit: &PosixRlimit) -> Result<(Resource, u64, u64), LaunchError> {
    let resource = match limit.typ() {
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        other => return Err(invalid(format!("{other} is not supported"))),
    };
    Ok((resource, limit.soft(), limit.hard()))
}

/// The variables `own` and `added`, both `KEY=VALUE`. `added` replaces variables of `own`, because programs take the
/// first of two.
fn merged<'a>(
    own: impl Iterator<Item = &'a String>,
    added: &'a [String],
) -> impl Iterator<Item = &'a String> {
    let key = |variable: &'a String| variable.split('=').next();
    own.filter(move |own| added.iter().all(|added| key(added) != key(own)))
        .chain(added)
}

pub(super) fn c_strings<'a>(
    strings: impl Iterator<Item = &'a String>,
) -> Result<Vec<CString>, LaunchError> {
    strings.map(|string| c_string(string.as_bytes())).collect()
}

fn c_path(path: &Path) -> Result<CString, LaunchError> {
    c_string(path.as_os_str().as_bytes())
}

fn c_string(bytes: &[u8]) -> Result<CString, LaunchError> {
    CString::new(bytes).map_err(|_| {
        let text = String::from_utf8_lossy(bytes);
        invalid(format!("`{}` holds a NUL byte", text.escape_default()))
    })
}

/// Candidate paths of `program`: itself if it has a slash, otherwise one in each directory of `PATH`.
pub(super) fn places(program: &CStr, environment: &[CString]) -> Result<Vec<CString>, LaunchError> {
    if program.to_bytes().contains(&b'/') {
        return Ok(vec![program.to_owned()]);
    }
    let mut variables = environment.iter().map(|variable| variable.to_bytes());
    let folders = variables.find_map(|variable| variable.strip_prefix(b"PATH="));
    let folders = folders.unwrap_or_default();
    folders
        .split(|byte| *byte == b':')
        .map(|folder| c_string(&[folder, b"/", program.to_bytes()].concat()))
        .collect()
}

fn required<'a, T>(field: Option<&'a T>, name: &str) -> Result<&'a T, LaunchError> {
    field.ok_or_else(|| invalid(format!("`{name}` is missing")))
}

pub(super) fn invalid(why: String) -> LaunchError {
    LaunchError::Spec { why }
}

#[cfg(test)]
mod tests;
