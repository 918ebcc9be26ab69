//! From the description of a service to a running container.
//!
//! Two halves. [`compile`] is pure: the same [`Service`](tare_config::Service) always gives the same
//! OCI runtime spec, which the image builder writes into a bundle that `runc` and `crun` accept too.
//! [`launch()`] is the effect: it has nothing left to decide, and drives the kernel from that spec.

mod bundle;
pub mod cgroup;
mod compile;
mod launch;
pub mod paths;
pub mod seccomp;
mod sys;

pub use bundle::{Bundle, BundleError};
pub use compile::{CompileError, User, Users, compile, mount_points, to_json};
pub use launch::{Exec, Launch, LaunchError, Running, Starting, exec, launch, start};
pub use oci_spec::runtime::Spec;
