//! System calls. Effects decide nothing: they do what a plan says and report.

pub(crate) mod button;
pub(crate) mod cgroups;
pub(crate) mod clock;
pub(crate) mod descriptors;
pub(crate) mod facts;
pub(crate) mod files;
pub(crate) mod generations;
pub(crate) mod last_writes;
pub(crate) mod limits;
pub(crate) mod memory;
pub(crate) mod modules;
pub(crate) mod mounts;
pub(crate) mod netlink;
pub(crate) mod nodes;
pub(crate) mod pidfd;
pub(crate) mod power;
pub(crate) mod readable;
pub(crate) mod signals;
pub(crate) mod sockets;
pub(crate) mod state;
pub(crate) mod sysctl;
pub(crate) mod timer;
pub(crate) mod uevents;
pub(crate) mod user_files;
pub(crate) mod userdata;
pub(crate) mod watchdog;
