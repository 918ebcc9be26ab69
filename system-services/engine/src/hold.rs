//! Keeps published ports open while dockerd starts.
//!
//! A starting dockerd removes its chains, and with them the rules for every container's published ports. It then
//! recreates them, rule by rule. Until it is ready, copies of the previous rules stand in for those that are still
//! missing. The kernel translates only the first packet of a connection, by the first rule that matches. The copies
//! come last, so they have no effect once dockerd's own rules are back.

use std::path::Path;

/// dockerd creates it for the first container of a boot; before that there is nothing to hold.
const CONTAINERS: &str = "/run/docker/netns";
/// The declaration of the chain with the copies.
const CHAIN: &str = ":TARE-HOLD ";
/// dockerd's rules, each of which maps a port of the host to one of a container.
const RULES: &str = "-A DOCKER ";

/// dockerd's jump to its rules, in the chains through which packets come from outside and from the machine itself.
const JUMP: &str = " -j DOCKER";
const COPY_JUMP: &str = " -j TARE-HOLD";
/// In the table `filter`: accepts connections that were translated to a container's address. Comes after dockerd's own
/// rules and the users' in `DOCKER-USER`, which both stay.
const FORWARDED: &str = "FORWARD -m conntrack --ctstate DNAT -j ACCEPT";

/// Whether there may be rules to copy.
pub(crate) fn is_needed() -> bool {
    Path::new(CONTAINERS).exists()
}

/// What removes the copies, given the rules of the table `nat` with them.
pub(crate) fn removal(saved: &str) -> String {
    let jumps = saved.lines().filter(|line| line.ends_with(COPY_JUMP));
    let jumps: String = jumps.map(|line| format!("-D{}\n", &line[2..])).collect();
    format!("*nat\n{jumps}-F TARE-HOLD\n-X TARE-HOLD\nCOMMIT\n*filter\n-D {FORWARDED}\nCOMMIT\n")
}

/// What there is to copy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Copies {
    None,
    /// There are copies already: an earlier start did not complete.
    Held,
    /// They are not there yet: input of iptables-restore(8).
    Rules(String),
}

/// What to copy, given the rules of the table `nat`. The jumps are copied with their conditions: dockerd leaves out
/// connections to 127.0.0.1, which a process of its own serves.
pub(crate) fn copies(saved: &str) -> Copies {
    if saved.contains(CHAIN) {
        return Copies::Held;
    }
    let rules = saved.lines().filter_map(|line| line.strip_prefix(RULES));
    if !rules.clone().any(|rule| rule.contains(" -j DNAT ")) {
        return Copies::None;
    }
    let rules: String = rules.map(|rule| format!("-A TARE-HOLD {rule}\n")).collect();
    let jumps = saved.lines().filter_map(|line| line.strip_suffix(JUMP));
    let jumps: String = jumps.map(|jump| format!("{jump}{COPY_JUMP}\n")).collect();
    Copies::Rules(format!(
        "*nat\n:TARE-HOLD - [0:0]\n{rules}{jumps}COMMIT\n*filter\n-A {FORWARDED}\nCOMMIT\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_to_containers_are_copied_once() {
        let jumps = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n\
            -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n";
        let back = "-A DOCKER -i docker0 -j RETURN\n";
        let empty = format!("*nat\n:DOCKER - [0:0]\n{jumps}{back}COMMIT\n");
        let dnat = "! -i br-1 -p tcp -m tcp --dport 80 -j DNAT --to-destination 172.18.0.2:8080";
        let one = format!("*nat\n:DOCKER - [0:0]\n{jumps}{back}-A DOCKER {dnat}\nCOMMIT\n");
        let copy = format!(
            "*nat\n:TARE-HOLD - [0:0]\n\
            -A TARE-HOLD -i docker0 -j RETURN\n-A TARE-HOLD {dnat}\n\
            -A PREROUTING -m addrtype --dst-type LOCAL -j TARE-HOLD\n\
            -A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j TARE-HOLD\nCOMMIT\n\
            *filter\n-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\nCOMMIT\n"
        );
        let removed = "*nat\n-D PREROUTING -m addrtype --dst-type LOCAL -j TARE-HOLD\n\
            -D OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j TARE-HOLD\n\
            -F TARE-HOLD\n-X TARE-HOLD\nCOMMIT\n\
            *filter\n-D FORWARD -m conntrack --ctstate DNAT -j ACCEPT\nCOMMIT\n";
        assert_eq!(removal(&copy), removed);
        for (saved, want) in [
            ("", Copies::None),
            (&*empty, Copies::None),
            (&*one, Copies::Rules(copy.clone())),
            (&*copy, Copies::Held),
        ] {
            assert_eq!(copies(saved), want, "{saved}");
        }
    }
}
