//! ssh works while the kernel's table of connections is full.
//!
//! The host and all containers on its bridges share one table, and a container can fill it with connections of its own.
//! The kernel then drops the first packet of each new connection. Connections to the machine's port 22 need no
//! translation, so the kernel does not track them.
//!
//! IPv4 only: the rules would make the kernel track IPv6, which it does not do for dockerd's rules.

use crate::firewall;
use std::path::Path;

pub(crate) const TABLE: &str = "raw"; // comes before connections are tracked
const CHAIN: &str = "TARE-SSH";
/// PID 1 has started ssh, or is about to start it again.
const SSH: &str = "/sys/fs/cgroup/services/ssh";
/// To the machine's port 22, from outside or from the machine itself, and back.
const RULES: [&str; 2] = [
    "-p tcp -m tcp --dport 22 -m addrtype --dst-type LOCAL -j CT --notrack",
    "-p tcp -m tcp --sport 22 -m addrtype --src-type LOCAL -j CT --notrack",
];

/// Whether the port is ssh's. PID 1 starts ssh before this service. If ssh is disabled, a container may publish port 22,
/// and its connections are translated.
pub(crate) fn has_ssh() -> bool {
    Path::new(SSH).exists()
}

/// The rules, as input of iptables-restore(8), given those of the table `raw`.
pub(crate) fn rules(saved: &str, has_ssh: bool) -> String {
    let rules = RULES.map(|rule| format!("-A {CHAIN} {rule}\n")).concat();
    let rules = if has_ssh { rules } else { String::new() };
    let jumps = [("PREROUTING", CHAIN), ("OUTPUT", CHAIN)];
    firewall::chains(TABLE, &[(CHAIN, rules)], &jumps, saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_once() {
        let rules_alone = "*raw\n:TARE-SSH - [0:0]\n\
            -A TARE-SSH -p tcp -m tcp --dport 22 -m addrtype --dst-type LOCAL -j CT --notrack\n\
            -A TARE-SSH -p tcp -m tcp --sport 22 -m addrtype --src-type LOCAL -j CT --notrack\n";
        let jumps = "-I PREROUTING -j TARE-SSH\n-I OUTPUT -j TARE-SSH\n";
        assert_eq!(rules("", true), format!("{rules_alone}{jumps}COMMIT\n"));
        let saved = "*raw\n-A PREROUTING -j TARE-SSH\n-A PREROUTING -j TARE-DNS\n-A OUTPUT -j TARE-SSH\nCOMMIT\n";
        assert_eq!(rules(saved, true), format!("{rules_alone}COMMIT\n"));
        assert_eq!(rules(saved, false), "*raw\n:TARE-SSH - [0:0]\nCOMMIT\n");
    }
}
