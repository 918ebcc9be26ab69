//! Users as sessions of ssh and of the console see them: `passwd(5)`, `group(5)`, and for each user the keys and principals
//! that log in.

use super::facts::{Fact, fact};
use std::collections::{BTreeMap, BTreeSet};
use tare_config::Machine;
use tare_config::machine::{AuthorizedKey, Principal, PublicKey, User};
use tare_control::GROUP;

/// Users of the image of ssh. `sshd` is the one that handles a connection before it has logged in.
const SYSTEM_USERS: &str = "\
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
sshd:x:103:65534:sshd privilege separation:/run/sshd:/usr/sbin/nologin
";

/// Groups of the image of ssh; `tty` is that of terminals.
const SYSTEM_GROUPS: &str = "\
root:x:0:
tty:x:5:
nogroup:x:65534:
";

/// Groups that administrators are in: of the engine's socket (`system-services/engine/service.toml`) and of our own.
const ADMIN_GROUPS: [(&str, u32); 2] = [("docker", 102), ("tare", GROUP)];

/// The user that is always there.
const ROOT: &str = "root";

/// Ends of the names of the facts about one user.
const KEYS: &str = ".authorized_keys";
const PRINCIPALS: &str = ".principals";

/// A user's home: the name of the folder, and the user's id.
pub(crate) type Home = (String, u32);

/// The facts about users, and about who may log in.
pub(crate) fn facts(machine: &Machine) -> Vec<Fact> {
    let ssh = &machine.ssh;
    let mut facts = vec![
        fact("passwd", passwd(machine)),
        fact("group", group(machine)),
        fact("sshd_config", sshd_config(machine)),
        fact(
            "trusted_user_ca_keys",
            lines(ssh.trusted_user_ca_keys.iter().map(PublicKey::line)),
        ),
    ];
    facts.extend(logins(ROOT, &machine.ssh_authorized_keys, &ssh.principals));
    for (name, user) in machine.users.iter() {
        facts.extend(logins(name, &user.ssh_authorized_keys, &user.principals));
    }
    facts
}

/// Whether the fact called `name` is about one user, and goes with that user.
pub(crate) fn is_of_one(name: &str) -> bool {
    name.ends_with(KEYS) || name.ends_with(PRINCIPALS)
}

/// The homes of all users but root.
pub(crate) fn homes(machine: &Machine) -> Vec<Home> {
    let users = machine.users.iter();
    users
        .map(|(name, _)| (name.to_owned(), machine.users.id(name)))
        .collect()
}

fn lines<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    lines.map(|line| format!("{line}\n")).collect()
}

/// Which keys log in as `user`, and which principals of certificates: its name unless others are given (sshd_config(5),
/// `AuthorizedPrincipalsFile`).
fn logins(user: &str, keys: &[AuthorizedKey], principals: &[Principal]) -> [Fact; 2] {
    let principals = match principals {
        [] => lines([user].into_iter()),
        given => lines(given.iter().map(Principal::as_str)),
    };
    let keys = lines(keys.iter().filter_map(AuthorizedKey::line));
    [
        fact(format!("{user}{KEYS}"), keys),
        fact(format!("{user}{PRINCIPALS}"), principals),
    ]
}

fn passwd(machine: &Machine) -> String {
    let users = machine.users.iter().map(|(name, user)| {
        let (id, shell) = (machine.users.id(name), user.shell.path());
        format!("{name}:x:{id}:{id}::/home/{name}:{shell}\n")
    });
    [SYSTEM_USERS.to_owned()].into_iter().chain(users).collect()
}

fn group(machine: &Machine) -> String {
    let users = &machine.users;
    let is_admin = |(_, user): &(&str, &User)| user.admin;
    let admins: Vec<&str> = users
        .iter()
        .filter(is_admin)
        .map(|(name, _)| name)
        .collect();
    let mut text = SYSTEM_GROUPS.to_owned();
    for (name, id) in ADMIN_GROUPS {
        text += &group_line(name, id, &admins);
    }
    // Each user has a group of its own.
    let mut members: BTreeMap<&str, BTreeSet<&str>> = users
        .iter()
        .map(|(name, _)| (name, BTreeSet::new()))
        .collect();
    for (name, user) in users.iter() {
        for group in &user.groups {
            members.entry(group.as_str()).or_default().insert(name);
        }
    }
    for (name, members) in members {
        let members: Vec<&str> = members.into_iter().collect();
        text += &group_line(name, users.id(name), &members);
    }
    text
}

fn group_line(name: &str, id: u32, members: &[&str]) -> String {
    format!("{name}:x:{id}:{}\n", members.join(","))
}

/// What of `sshd_config(5)` can be changed; the image's own file includes it.
fn sshd_config(machine: &Machine) -> String {
    let forwarding = if machine.ssh.allow_tcp_forwarding {
        "yes"
    } else {
        "no"
    };
    format!(
        "Port {}\nAllowTcpForwarding {forwarding}\n",
        machine.ssh.port.0
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn text(machine: &str, name: &str) -> Option<String> {
        let machine: Machine = tare_config::parse("t", machine.as_bytes()).unwrap();
        let found = facts(&machine).into_iter().find(|fact| fact.name == name);
        found.map(|fact| fact.text)
    }

    fn users() -> String {
        format!(
            "ssh-authorized-keys = ['{KEY} root']\n[users.alice]\nssh-authorized-keys = ['cert-authority {KEY}', '# mine']\n\
             admin = true\ngroups = ['web']\n[users.bob]\nuid = 1000\ngroups = ['alice', 'web']\nshell = '/usr/sbin/nologin'\n\
             principals = ['ops', 'bob']"
        )
    }

    #[test]
    fn users_and_groups_are_those_of_the_image_and_of_the_configuration() {
        assert_eq!(text("", "passwd").unwrap(), SYSTEM_USERS);
        let want = format!(
            "{SYSTEM_USERS}alice:x:17479:17479::/home/alice:/bin/bash\nbob:x:1000:1000::/home/bob:/usr/sbin/nologin\n"
        );
        assert_eq!(text(&users(), "passwd").unwrap(), want);
        let want = format!("{SYSTEM_GROUPS}docker:x:102:\ntare:x:988:\n");
        assert_eq!(text("", "group").unwrap(), want);
        let want = format!(
            "{SYSTEM_GROUPS}docker:x:102:alice\ntare:x:988:alice\nalice:x:17479:bob\nbob:x:1000:\nweb:x:37825:alice,bob\n"
        );
        assert_eq!(text(&users(), "group").unwrap(), want);
    }

    #[test]
    fn each_user_has_keys_and_principals() {
        for (name, want) in [
            ("root.authorized_keys", format!("{KEY} root\n")),
            ("root.principals", "root\n".to_owned()),
            ("alice.authorized_keys", format!("cert-authority {KEY}\n")),
            ("alice.principals", "alice\n".to_owned()),
            ("bob.authorized_keys", String::new()),
            ("bob.principals", "ops\nbob\n".to_owned()),
        ] {
            assert_eq!(text(&users(), name), Some(want), "{name}");
            assert!(is_of_one(name));
        }
        assert_eq!(text("", "alice.authorized_keys"), None);
        assert!(!is_of_one("passwd"));
    }

    #[test]
    fn options_of_sshd() {
        for (machine, name, want) in [
            ("", "sshd_config", "Port 22\nAllowTcpForwarding yes\n"),
            (
                "[ssh]\nport = 2222\nallow-tcp-forwarding = false",
                "sshd_config",
                "Port 2222\nAllowTcpForwarding no\n",
            ),
            ("", "trusted_user_ca_keys", ""),
            ("ssh.principals = ['ops']", "root.principals", "ops\n"),
        ] {
            assert_eq!(text(machine, name).unwrap(), want, "{machine}");
        }
        let machine = format!("ssh.trusted-user-ca-keys = ['{KEY} ca']");
        let want = format!("{KEY} ca\n");
        assert_eq!(text(&machine, "trusted_user_ca_keys").unwrap(), want);
    }
}
