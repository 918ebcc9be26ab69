//! The identity and rights of the process, applied last because they would block the set-up that precedes them.

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

/// The user namespace that a program runs in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Users<'a> {
    /// The launcher's.
    Ours,
    /// A new one, in which its own user and group are the only ones.
    Own,
    /// The one of a pidfd's process.
    Of(BorrowedFd<'a>),
}

/// Assumes `identity` in the user namespace `users`, and loads `filter`.
///
/// Entering a user namespace gives all capabilities inside it and removes those outside, so it precedes the dropping
/// of capabilities. The filter is loaded while we still have `CAP_SYS_ADMIN`, which loading requires without
/// `no_new_privs`. All calls after that are allowed to every service.
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

/// Without keepcaps, changing from root to another user would clear the permitted set. `execve` clears the flag.
fn become_user(identity: &Identity) -> Result<(), Failure> {
    let (uid, gid) = (identity.uid, identity.gid);
    set_keepcaps(true).step("set keepcaps")?;
    setgroups(&identity.groups).step("setgroups")?;
    setresgid(gid, gid, gid).step("setresgid")?;
    setresuid(uid, uid, uid).step("setresuid")
}

/// A process may enter the user namespaces of its effective user id and may map that id. It may map its group id once
/// setgroups(2) is denied (`user_namespaces(7)`).
fn enter(users: Users<'_>, identity: &Identity) -> Result<(), Failure> {
    let (uid, gid) = (identity.uid, identity.gid);
    match users {
        Users::Ours => Ok(()),
        Users::Of(pidfd) => {
            setns(pidfd, CloneFlags::CLONE_NEWUSER).step("enter the user namespace")
        }
        Users::Own => {
            unshare(CloneFlags::CLONE_NEWUSER).step("unshare the user namespace")?;
            // Otherwise files in /proc/self belong to root, because we changed our user.
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

/// The numbers of the capabilities in `set` that exist.
fn numbers(set: u64) -> impl Iterator<Item = u32> {
    let known = u32::try_from(CAPABILITIES.len()).unwrap_or(0);
    (0..known).filter(move |number| set & 1 << number != 0)
}
