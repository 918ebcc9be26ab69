//! ssh works while the kernel's table of connections is full.
//!
//! The host and all containers on its bridges share one table, and a container can fill it with connections of its own.
//! The kernel then drops the first packet of each new connection. Connections to ssh on the machine need no
//! translation, so the kernel does not track them.
//!
//! IPv4 only: the rules would make the kernel track IPv6, which it does not do for dockerd's rules.

use crate::firewall;
use std::fs;
use std::path::Path;

pub(crate) const TABLE: &str = "raw"; // comes before connections are tracked
const CHAIN: &str = "TARE-SSH";
/// PID 1 has started ssh, or is about to start it again.
const SSH: &str = "/sys/fs/cgroup/services/ssh";
/// PID 1's fact with what user-data says of sshd (`init/src/plan/users.rs`).
const SSHD_CONFIG: &str = "/run/host/sshd_config";
/// The port without that (RFC 4253, 4.1).
const USUAL_PORT: u16 = 22;

/// The port of ssh. PID 1 starts ssh before this service. `None` if ssh is disabled: a container may publish its port, and
/// connections to it are translated.
pub(crate) fn port() -> Option<u16> {
    let config = || fs::read_to_string(SSHD_CONFIG).unwrap_or_default();
    Path::new(SSH).exists().then(|| port_in(&config()))
}

fn port_in(config: &str) -> u16 {
    let mut lines = config.lines();
    let port = lines.find_map(|line| line.strip_prefix("Port ")?.parse().ok());
    port.unwrap_or(USUAL_PORT)
}

/// The rules, as input of iptables-restore(8), given those of the table `raw`: to `port` of the machine, from outside or from
/// the machine itself, and back.
pub(crate) fn rules(saved: &str, port: Option<u16>) -> String {
    let rules = port.map(|port| {
        format!(
            "-A {CHAIN} -p tcp -m tcp --dport {port} -m addrtype --dst-type LOCAL -j CT --notrack\n\
             -A {CHAIN} -p tcp -m tcp --sport {port} -m addrtype --src-type LOCAL -j CT --notrack\n"
        )
    });
    let rules = rules.unwrap_or_default();
    let jumps = [("PREROUTING", CHAIN), ("OUTPUT", CHAIN)];
    firewall::chains(TABLE, &[(CHAIN, rules)], &jumps, saved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_of_ssh() {
        for (config, want) in [
            ("Port 2222\nAllowTcpForwarding yes\n", 2222),
            ("", 22),
            ("Port x\n", 22),
        ] {
            assert_eq!(port_in(config), want, "{config}");
        }
    }

    #[test]
    fn both_directions_once() {
        let rules_alone = "*raw\n:TARE-SSH - [0:0]\n\
            -A TARE-SSH -p tcp -m tcp --dport 22 -m addrtype --dst-type LOCAL -j CT --notrack\n\
            -A TARE-SSH -p tcp -m tcp --sport 22 -m addrtype --src-type LOCAL -j CT --notrack\n";
        let jumps = "-I PREROUTING -j TARE-SSH\n-I OUTPUT -j TARE-SSH\n";
        assert_eq!(rules("", Some(22)), format!("{rules_alone}{jumps}COMMIT\n"));
        let saved = "*raw\n-A PREROUTING -j TARE-SSH\n-A PREROUTING -j TARE-DNS\n-A OUTPUT -j TARE-SSH\nCOMMIT\n";
        assert_eq!(rules(saved, Some(22)), format!("{rules_alone}COMMIT\n"));
        assert_eq!(rules(saved, None), "*raw\n:TARE-SSH - [0:0]\nCOMMIT\n");
    }
}
