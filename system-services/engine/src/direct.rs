//! Only published ports lead into containers: nothing from outside reaches a container's own address.
//!
//! dockerd of this version forwards to that address whatever a neighbour sends there. The neighbour needs only a route,
//! and a port published at 127.0.0.1 is as open as any other. Docker 28 closes this, too, unless its option
//! `allow-direct-routing` is set; that is the name of the option here.

/// The option of user-data; unknown to dockerd.
pub(crate) const OPTION: &str = "allow-direct-routing";

pub(crate) const TABLE: &str = "mangle"; // dockerd's and the users' chains are in other tables
const CHAIN: &str = "TARE-DIRECT";
const JUMP: &str = "FORWARD -j TARE-DIRECT";
/// Links of containers: of the default network, and of those made later unless they were given another name.
const BRIDGES: [&str; 2] = ["docker0", "br-+"];

/// What makes the kernel refuse new connections to the addresses of containers, or allow them, given the rules of
/// [`TABLE`]; input of iptables-restore(8), empty if nothing is to change.
pub(crate) fn change(saved: &str, allowed: bool) -> String {
    match (saved.contains(&format!("-A {JUMP}\n")), allowed) {
        (false, false) => closed(),
        // The chain stays, without effect.
        (true, true) => format!("*{TABLE}\n-D {JUMP}\nCOMMIT\n"),
        _ => String::new(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_closed_and_opened_once() {
        let closed = "*mangle\n:TARE-DIRECT - [0:0]\n\
            -A TARE-DIRECT ! -i docker0 -o docker0 -m conntrack --ctstate NEW -m conntrack ! --ctstate DNAT -j DROP\n\
            -A TARE-DIRECT ! -i br-+ -o br-+ -m conntrack --ctstate NEW -m conntrack ! --ctstate DNAT -j DROP\n\
            -A FORWARD -j TARE-DIRECT\nCOMMIT\n";
        let open = "*mangle\n-D FORWARD -j TARE-DIRECT\nCOMMIT\n";
        for (saved, allowed, want) in [
            ("", false, closed),
            ("", true, ""),
            (closed, false, ""),
            (closed, true, open),
        ] {
            assert_eq!(change(saved, allowed), want, "{allowed} {saved}");
        }
    }
}
