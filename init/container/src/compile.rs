//! Service description -> OCI runtime spec. Pure.

mod json;
mod linux;
mod mounts;
mod process;
mod users;

pub use json::to_json;
pub use mounts::mount_points;
pub use users::{User, Users};

use oci_spec::runtime::{Root, Spec};
use tare_config::Service;
use thiserror::Error;

/// The version of the runtime spec whose features we use, which every `runc` 1.1 supports.
const OCI_VERSION: &str = "1.0.2";

/// Why a service cannot become a container.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CompileError {
    /// The root filesystem has no such user.
    #[error("service {service}: no user `{user}` in /etc/passwd of its root filesystem")]
    UnknownUser {
        /// The service.
        service: String,
        /// `process.user` of the service.
        user: String,
    },
}

/// The OCI runtime spec of service `name`, whose root filesystem has `users`.
///
/// # Errors
/// If the service names a user that `users` does not have.
pub fn compile(name: &str, service: &Service, users: &Users) -> Result<Spec, CompileError> {
    let user = find_user(name, service, users)?;
    let mut root = Root::default();
    root.set_path("rootfs".into())
        .set_readonly(Some(service.sandbox.read_only_rootfs));
    let mut spec = Spec::default();
    spec.set_version(OCI_VERSION.to_owned())
        .set_root(Some(root))
        .set_hostname(None)
        .set_annotations(None)
        .set_process(Some(process::process(service, user)))
        .set_mounts(Some(mounts::mounts(name, service, user)))
        .set_linux(Some(linux::linux(name, service, user)));
    Ok(spec)
}

fn find_user<'a>(
    name: &str,
    service: &Service,
    users: &'a Users,
) -> Result<&'a User, CompileError> {
    users
        .find(&service.process.user)
        .ok_or_else(|| CompileError::UnknownUser {
            service: name.to_owned(),
            user: service.process.user.clone(),
        })
}

#[cfg(test)]
mod tests;
