//! What to do, as data. Nothing here performs I/O: same input, same plan.

pub(crate) mod changes;
pub(crate) mod cmdline;
pub(crate) mod facts;
pub(crate) mod generations;
pub(crate) mod lease;
pub(crate) mod mounts;
pub(crate) mod network;
pub(crate) mod sections;
pub(crate) mod services;
pub(crate) mod users;
