//! What reads bytes of others. Each function takes bytes as one of them may send, and panics if what is made of them is not as
//! promised: `fuzz/` looks for such bytes, `tests/corpus.rs` reads those that it has found.

#![allow(clippy::panic, clippy::expect_used, clippy::unwrap_used)]

mod control;
mod dynamic;
mod user_data;

pub use control::call;
pub use dynamic::{dhcp, lease};
pub use user_data::{layers, service, user_data};

// Programs have no library. These modules of theirs are pure; their tests stay with them.
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../../../system-services/dhcp/src/client.rs"]
mod client;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../../../system-services/dhcp/src/datagram.rs"]
mod datagram;
#[rustfmt::skip]
#[path = "../../../system-services/dhcp/src/lease.rs"]
mod lease;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../../../system-services/dhcp/src/message.rs"]
mod message;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../../../init/src/plan/lease.rs"]
mod report;
#[allow(dead_code)]
#[rustfmt::skip]
#[path = "../../../init/src/control/message.rs"]
mod varlink;

/// What [`report`] takes from PID 1's module of that name.
mod facts {
    pub(crate) type Leases = std::collections::BTreeMap<String, crate::report::Lease>;
}

/// A function of this crate, by its name, which is also that of its fuzz target and its folder in the corpus.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 6] = [
    ("call", call),
    ("dhcp", dhcp),
    ("layers", layers),
    ("lease", lease),
    ("service", service),
    ("user_data", user_data),
];
