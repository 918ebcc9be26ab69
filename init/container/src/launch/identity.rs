//! The identity and rights of the process, applied last because they would block the set-up that precedes them.

use super::failure::{Failure, Step};
use super::plan::Identity;
use crate::sys;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::{set_dumpable, set_keepcaps, set_no_new_privs};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};
use nix::unistd::{setgroups, setresgid, setresuid};
use std::os::fd::{BorrowedFd, OwnedFd};
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
            let own = Own::open()?;
            own.write("uid_map", &format!("{uid} {uid} 1"))?;
            own.write("setgroups", "deny")?;
            own.write("gid_map", &format!("{gid} {gid} 1"))?;
            set_dumpable(false).step("set dumpable")
        }
    }
}

/// This process in `/proc`.
pub(super) struct Own {
    proc: OwnedFd,
}

impl Own {
    /// Opens `/proc`, which is procfs and not what a root filesystem or a volume has there.
    pub(super) fn open() -> Result<Self, Failure> {
        let how = OpenHow::new()
            .flags(OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
            .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
        let proc = openat2(AT_FDCWD, c"/proc", how).step("open /proc")?;
        if fstatfs(&proc).step("fstatfs /proc")?.filesystem_type() != PROC_SUPER_MAGIC {
            return Err(Errno::ENODEV).step("find procfs at /proc");
        }
        Ok(Self { proc })
    }

    /// Writes to a file of this process that procfs itself has: nothing is mounted on the way.
    pub(super) fn write(&self, file: &str, text: &str) -> Result<(), Failure> {
        let path = format!("self/{file}");
        let how = OpenHow::new()
            .flags(OFlag::O_WRONLY | OFlag::O_CLOEXEC)
            .resolve(
                ResolveFlag::RESOLVE_BENEATH
                    | ResolveFlag::RESOLVE_NO_MAGICLINKS
                    | ResolveFlag::RESOLVE_NO_XDEV,
            );
        openat2(&self.proc, path.as_str(), how)
            .and_then(|file| nix::unistd::write(file, text.as_bytes()))
            .map(drop)
            .map_err(|source| Failure::new(format!("write {text} to /proc/{path}"), source))
    }
}

/// The numbers of the capabilities in `set` that exist.
fn numbers(set: u64) -> impl Iterator<Item = u32> {
    let known = u32::try_from(CAPABILITIES.len()).unwrap_or(0);
    (0..known).filter(move |number| set & 1 << number != 0)
}
