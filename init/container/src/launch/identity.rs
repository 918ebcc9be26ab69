//! Who the process is and what it may do: the walls that come last, for they would stop us too.

use super::failure::{Failure, Step};
use super::plan::Identity;
use crate::sys;
use nix::sys::prctl::{set_keepcaps, set_no_new_privs};
use nix::unistd::{setgroups, setresgid, setresuid};
use tare_config::service::CAPABILITIES;

/// Takes on `identity` and loads `filter`.
///
/// The filter comes while we still have `CAP_SYS_ADMIN`, which it takes to load one without
/// `no_new_privs`; every call after that is one that every service may make.
pub(super) fn assume(identity: &Identity, filter: Option<&[u8]>) -> Result<(), Failure> {
    for capability in numbers(!identity.bounding) {
        sys::drop_bounding(capability).step("drop a capability from the bounding set")?;
    }
    if identity.no_new_privileges {
        set_no_new_privs().step("set no_new_privs")?;
    }
    if let Some(filter) = filter {
        sys::load_filter(filter).step("load the seccomp filter")?;
    }
    become_user(identity)?;
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

/// The numbers of the capabilities in `set` that the kernel has.
fn numbers(set: u64) -> impl Iterator<Item = u32> {
    let known = u32::try_from(CAPABILITIES.len()).unwrap_or(0);
    (0..known).filter(move |number| set & 1 << number != 0)
}
