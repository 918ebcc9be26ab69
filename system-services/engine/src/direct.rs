//! Only published ports lead into containers: nothing from outside reaches a container's own address.
//!
//! dockerd of this version forwards to that address whatever a neighbour sends there. The neighbour needs only a route,
//! and a port published at 127.0.0.1 is as open as any other. Docker 28 closes this, too, unless its option
//! `allow-direct-routing` is set; that is the name of the option here.

use crate::hold::{restore, saved};
use anyhow::Result;

/// The option of user-data; unknown to dockerd.
pub(crate) const OPTION: &str = "allow-direct-routing";

const TABLE: &str = "mangle"; // dockerd's and the users' chains are in other tables
const CHAIN: &str = "TARE-DIRECT";
const JUMP: &str = "FORWARD -j TARE-DIRECT";
/// Links of containers: of the default network, and of those made later unless they were given another name.
const BRIDGES: [&str; 2] = ["docker0", "br-+"];

/// Makes the kernel refuse new connections to the addresses of containers, or allow them.
///
/// # Errors
/// If iptables fails; nothing has changed then.
pub(crate) fn allow(allowed: bool) -> Result<()> {
    match (saved(TABLE)?.contains(&format!("-A {JUMP}\n")), allowed) {
        (false, false) => restore(&closed()),
        // The chain stays, without effect.
        (true, true) => restore(&format!("*{TABLE}\n-D {JUMP}\nCOMMIT\n")),
        _ => Ok(()),
    }
}

/// What comes from the same kind of link is a container's own; dockerd keeps its networks apart.
fn closed() -> String {
    let rules = BRIDGES.map(|bridge| {
        format!(
            "-A {CHAIN} ! -i {bridge} -o {bridge} -m conntrack --ctstate NEW -m conntrack ! --ctstate DNAT -j DROP\n"
        )
    });
    format!(
        "*{TABLE}\n:{CHAIN} - [0:0]\n{}-A {JUMP}\nCOMMIT\n",
        rules.concat()
    )
}
