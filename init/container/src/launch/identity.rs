//! Who the process is and what it may do: the walls that come last, for they would stop us too.

use super::failure::{Failure, Step};
use super::plan::Identity;
use crate::sys;
use nix::fcntl::OFlag;
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::{set_dumpable, set_keepcaps, set_no_new_privs};
use nix::sys::stat::Mode;
use nix::unistd::{setgroups, setresgid, setresuid};
use std::os::fd::BorrowedFd;
use tare_config::service::CAPABILITIES;

/// The user namespace that a program shall run in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Users<'a> {
    /// That of who launches it.
    Ours,
    /// A new one, where its own user and group are the only ones.
    Own,
    /// That of the process of a pidfd.
    Of(BorrowedFd<'a>),
}

/// Takes on `identity`, among `users`, and loads `filter`.
///
/// A user namespace gives all capabilities inside it and takes those outside: it is entered before
/// capabilities are dropped. The filter comes while we still have `CAP_SYS_ADMIN`, which it takes to load
/// one without `no_new_privs`; every call after that is one that every service may make.
pub(super) fn assume(
    identity: &Identity,
    users: Users<'_>,
    filter: Option<&[u8]>,
) -> Result<(), Failure> {
    if !matches!(users, Users::Ours) {
        become_user(identity)?;
        enter(users, identity)?;
    }
    for capability in numbers(!identity.bounding) {
        sys::drop_bounding(capability).step("drop a capability from the bounding set")?;
    }
    if identity.no_new_privileges {
        set_no_new_privs().step("set no_new_privs")?;
    }
    if let Some(filter) = filter {
        sys::load_filter(filter).step("load the seccomp filter")?;
    }
    if matches!(users, Users::Ours) {
        become_user(identity)?;
    }
    sys::set_capabilities(identity.effective, identity.permitted, identity.inheritable)
        .step("set capabilities")?;
    for capability in numbers(identity.ambient) {
        sys::raise_ambient(capability).step("raise an ambient capability")?;
    }
    Ok(())
}

/// Changing from root to another user would clear the permitted set; `execve` clears this flag.
fn become_user(identity: &Identity) -> Result<(), Failure> {
    let (uid, gid) = (identity.uid, identity.gid);
    set_keepcaps(true).step("set keepcaps")?;
    setgroups(&identity.groups).step("setgroups")?;
    setresgid(gid, gid, gid).step("setresgid")?;
    setresuid(uid, uid, uid).step("setresuid")
}

/// Whoever has an effective user id may enter its namespaces, and may map that id, and its group's once
/// nobody can drop groups any more (`user_namespaces(7)`).
fn enter(users: Users<'_>, identity: &Identity) -> Result<(), Failure> {
    let (uid, gid) = (identity.uid, identity.gid);
    match users {
        Users::Ours => Ok(()),
        Users::Of(pidfd) => {
            setns(pidfd, CloneFlags::CLONE_NEWUSER).step("enter the user namespace")
        }
        Users::Own => {
            unshare(CloneFlags::CLONE_NEWUSER).step("unshare the user namespace")?;
            // Else files in /proc/self are root's, since we changed our user.
            set_dumpable(true).step("set dumpable")?;
            write_file("/proc/self/uid_map", &format!("{uid} {uid} 1"))?;
            write_file("/proc/self/setgroups", "deny")?;
            write_file("/proc/self/gid_map", &format!("{gid} {gid} 1"))?;
            set_dumpable(false).step("set dumpable")
        }
    }
}

pub(super) fn write_file(path: &str, text: &str) -> Result<(), Failure> {
    let written = nix::fcntl::open(path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())
        .and_then(|file| nix::unistd::write(file, text.as_bytes()));
    written
        .map(drop)
        .map_err(|source| Failure::new(format!("write {text} to {path}"), source))
}

/// The numbers of the capabilities in `set` that the kernel has.
fn numbers(set: u64) -> impl Iterator<Item = u32> {
    let known = u32::try_from(CAPABILITIES.len()).unwrap_or(0);
    (0..known).filter(move |number| set & 1 << number != 0)
}
