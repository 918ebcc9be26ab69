//! The users and groups of a root filesystem: a small base, and those that packages request in `sysusers.d(5)`, as
//! systemd-sysusers would make them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};

use super::tree::Tree;

/// In every root filesystem. The group ids are Debian's (base-passwd), because packages contain files
/// of these groups.
const BASE: &str = include_str!("users/base.conf");

/// What packages without a sysusers.d file do in their maintainer scripts.
const SCRIPTED: &[(&str, &str)] = &[
    (
        "usr/sbin/chronyd",
        "u _chrony - \"Chrony daemon\" /var/lib/chrony",
    ),
    ("usr/sbin/dockerd", "g docker -"),
    ("usr/bin/tcpdump", "u tcpdump -"),
];

/// The range for ids that packages leave open: Debian's for system users.
const DYNAMIC: std::ops::Range<u32> = 100..1000;

#[derive(Debug, Clone, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
    comment: String,
    home: String,
    shell: String,
}

/// Users and groups by name.
#[derive(Debug, Default)]
struct Accounts {
    users: BTreeMap<String, User>,
    groups: BTreeMap<String, u32>,
    members: BTreeMap<String, Vec<String>>,
}

/// Writes `/etc/passwd`, `group` and `shadow`; no user has a password.
///
/// # Errors
/// Quotes a line of sysusers.d that cannot be parsed.
pub(crate) fn write(tree: &mut Tree) -> Result<()> {
    let mut accounts = Accounts::default();
    accounts.add_all(BASE)?;
    for (program, line) in SCRIPTED {
        if tree.get(program).is_some() {
            accounts.add_all(line)?;
        }
    }
    for text in sysusers(tree)? {
        accounts.add_all(&text)?;
    }
    if tree.get("usr/bin/bash").is_none() {
        accounts.set_root_shell("/bin/sh");
    }
    tree.put_text("etc/passwd", 0o644, &accounts.passwd());
    tree.put_text("etc/group", 0o644, &accounts.group());
    tree.put_text("etc/shadow", 0o600, &accounts.shadow());
    Ok(())
}

fn sysusers(tree: &Tree) -> Result<Vec<String>> {
    let files: Vec<&str> = tree
        .below("usr/lib/sysusers.d")
        .map(|(path, _)| path)
        .filter(|path| path.ends_with(".conf"))
        .collect();
    let read = |path: &&str| {
        let text = tree.read(path)?.unwrap_or_default();
        String::from_utf8(text).with_context(|| format!("{path} is not UTF-8"))
    };
    files.iter().map(read).collect()
}

impl Accounts {
    fn add_all(&mut self, text: &str) -> Result<()> {
        let lines = text.lines().map(str::trim);
        for line in lines.filter(|line| !line.is_empty() && !line.starts_with('#')) {
            self.add(line)
                .with_context(|| format!("sysusers.d line `{line}`"))?;
        }
        Ok(())
    }

    fn add(&mut self, line: &str) -> Result<()> {
        let words = words(line);
        let field = |n: usize| match words.get(n).map(String::as_str) {
            None | Some("-" | "") => None,
            Some(word) => Some(word),
        };
        let name = field(1).context("has no name")?;
        match field(0).map(|kind| kind.trim_end_matches('!')) {
            Some("g") => self.add_group(name, field(2)),
            Some("u") => self.add_user(name, field(2), [field(3), field(4), field(5)]),
            Some("m") => {
                let group = field(2).context("has no group")?;
                self.add_group(group, None)?;
                let members = self.members.entry(group.to_owned()).or_default();
                members.push(name.to_owned());
                Ok(())
            }
            // `r` only reserves ids for others.
            Some("r") => Ok(()),
            _ => bail!("is of no known type"),
        }
    }

    fn add_group(&mut self, name: &str, id: Option<&str>) -> Result<()> {
        if !self.groups.contains_key(name) {
            let gid = match id {
                Some(id) => id.parse().context("has no number for a group id")?,
                None => dynamic_id(name, |id| self.groups.values().any(|gid| *gid == id)),
            };
            self.groups.insert(name.to_owned(), gid);
        }
        Ok(())
    }

    fn add_user(
        &mut self,
        name: &str,
        id: Option<&str>,
        [comment, home, shell]: [Option<&str>; 3],
    ) -> Result<()> {
        if self.users.contains_key(name) {
            return Ok(());
        }
        let (uid, group) = match id.map(|id| id.split_once(':').unwrap_or((id, ""))) {
            Some((uid, group)) => (Some(uid).filter(|uid| *uid != "-"), group),
            None => (None, ""),
        };
        let gid = self.primary_group(name, uid, group)?;
        let uid = match uid {
            Some(uid) => uid.parse().context("has no number for a user id")?,
            None => dynamic_id(name, |id| self.users.values().any(|user| user.uid == id)),
        };
        let user = User {
            uid,
            gid,
            comment: comment.unwrap_or_default().to_owned(),
            home: home.unwrap_or("/").to_owned(),
            shell: shell.unwrap_or("/usr/sbin/nologin").to_owned(),
        };
        self.users.insert(name.to_owned(), user);
        Ok(())
    }

    /// The group given by name or number, otherwise the user's own group, which is created.
    fn primary_group(&mut self, user: &str, uid: Option<&str>, group: &str) -> Result<u32> {
        if let Ok(gid) = group.parse() {
            return Ok(gid);
        }
        let name = if group.is_empty() { user } else { group };
        self.add_group(name, uid.filter(|_| group.is_empty()))?;
        Ok(self.groups[name])
    }

    fn set_root_shell(&mut self, shell: &str) {
        if let Some(root) = self.users.get_mut("root") {
            shell.clone_into(&mut root.shell);
        }
    }

    fn passwd(&self) -> String {
        by_id(&self.users, |user| user.uid).fold(String::new(), |mut text, (name, user)| {
            let User {
                uid,
                gid,
                comment,
                home,
                shell,
            } = user;
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}:x:{uid}:{gid}:{comment}:{home}:{shell}");
            text
        })
    }

    fn group(&self) -> String {
        by_id(&self.groups, |gid| *gid).fold(String::new(), |mut text, (name, gid)| {
            let members = self.members.get(name).map(|members| members.join(","));
            let _ = writeln!(text, "{name}:x:{gid}:{}", members.unwrap_or_default());
            text
        })
    }

    /// `*` is a password that nothing matches. `!` would mean a locked account, which sshd refuses
    /// even with a key.
    fn shadow(&self) -> String {
        let names = by_id(&self.users, |user| user.uid).map(|(name, _)| name);
        names.map(|name| format!("{name}:*:::::::\n")).collect()
    }
}

fn by_id<T>(
    accounts: &BTreeMap<String, T>,
    id: impl Fn(&T) -> u32,
) -> impl Iterator<Item = (&String, &T)> {
    let mut sorted: Vec<_> = accounts.iter().collect();
    sorted.sort_by_key(|(_, account)| id(account));
    sorted.into_iter()
}

/// The words of a line; double quotes keep spaces.
fn words(line: &str) -> Vec<String> {
    let mut quoted = false;
    let separates = |c: char| {
        quoted ^= c == '"';
        c.is_whitespace() && !quoted
    };
    let words = line.split(separates).filter(|word| !word.is_empty());
    words
        .map(|word| word.trim_matches('"').to_owned())
        .collect()
}

/// An id derived from the name, so that it is the same in every root filesystem and every release: files on the state
/// partition belong to it. The next free one if two names collide.
fn dynamic_id(name: &str, taken: impl Fn(u32) -> bool) -> u32 {
    // FNV-1a, 32 bits.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let span = DYNAMIC.end - DYNAMIC.start;
    (0..span)
        .map(|step| DYNAMIC.start + (hash % span + step) % span)
        .find(|id| !taken(*id))
        .unwrap_or(DYNAMIC.end)
}

#[cfg(test)]
mod tests;
