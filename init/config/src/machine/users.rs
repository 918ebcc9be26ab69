//! Users beside root.

use super::checked;
use super::keys::AuthorizedKey;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Names of users and groups of the images of services, and of Debian (base-passwd), which people expect to have a meaning.
pub(crate) const SYSTEM_NAMES: [&str; 51] = [
    "_apt", "_chrony", "adm", "apps", "audio", "backup", "bin", "cdrom", "daemon", "dhcp",
    "dialout", "dip", "disk", "docker", "floppy", "forward", "games", "input", "irc", "kmem",
    "kvm", "list", "lp", "mail", "man", "metrics", "news", "nobody", "nogroup", "operator",
    "plugdev", "proxy", "render", "root", "shadow", "src", "sshd", "staff", "sudo", "sync", "sys",
    "tape", "tare", "tty", "users", "utmp", "uucp", "video", "voice", "wheel", "www-data",
];

/// What a name of a user or a group looks like; as useradd(8) of Debian has it, but without a `$` at the end.
const NAME_FORM: &str =
    "write a letter or `_`, then letters, digits, `_` or `-`, all lower case, 32 at most";

/// The ids of users and groups: Debian's for people (`UID_MIN`, `UID_MAX`, login.defs(5)). Those of services are below.
const LEAST_ID: u32 = 1000;
const MOST_ID: u32 = 59999;
/// From here on are the ids that follow from names. Images of containers rarely use them.
const LEAST_DERIVED_ID: u32 = 10000;

/// The section `[users]`: users by name. No two users or groups have the same id.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Users {
    by_name: BTreeMap<UserName, User>,
    /// The ids of users and groups by their names.
    #[serde(skip)]
    ids: BTreeMap<String, u32>,
}

impl Users {
    /// Name and description of each user, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &User)> {
        let users = self.by_name.iter();
        users.map(|(name, user)| (name.0.as_str(), user))
    }

    /// The user called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&User> {
        self.by_name.get(name)
    }

    /// The id of the user called `name` and of its own group, or that of another group.
    #[must_use]
    pub fn id(&self, name: &str) -> u32 {
        let id = self.ids.get(name).copied();
        id.unwrap_or_else(|| derived_id(name))
    }
}

/// One user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct User {
    /// Keys that may log in as this user over ssh, with options as in sshd(8).
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA alice@laptop"]],
        "x-tare-default" = "none",
        "x-tare-type" = "list of lines of `authorized_keys`",
    )))]
    pub ssh_authorized_keys: Vec<AuthorizedKey>,
    /// Whether the user may use the engine, `tare` and `sudo`, each of which amounts to being root.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = [true])))]
    pub admin: bool,
    /// Groups that the user is in besides one of its own name. They exist because users are in them.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["web"]],
        "x-tare-default" = "none",
        "x-tare-type" = "list of names",
    )))]
    pub groups: Vec<GroupName>,
    /// The shell of a login. With `/usr/sbin/nologin` there is none, but ports can be forwarded.
    #[cfg_attr(feature = "schema", schemars(extend("examples" = ["/usr/sbin/nologin"])))]
    pub shell: Shell,
    /// The id of the user and of the group of its own name.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [1000],
        "x-tare-default" = "one from 10000 on that follows from the name",
        "x-tare-see" = "user-data.md#users",
    )))]
    pub uid: Option<UserId>,
    /// The names in a certificate (`ssh-keygen -n`) of which one must be there to log in as this user.
    #[serde(deserialize_with = "checked::list")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = [["alice", "ops"]],
        "x-tare-default" = "the user's name",
        "x-tare-type" = "list of principals",
    )))]
    pub principals: Vec<Principal>,
}

/// The id that follows from `name`: the same on every machine and whatever other users come and go, so that files keep their
/// owner.
fn derived_id(name: &str) -> u32 {
    // FNV-1a, 32 bits.
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    LEAST_DERIVED_ID + hash % (MOST_ID + 1 - LEAST_DERIVED_ID)
}

/// The id of each user and group: its `uid`, or else the one that follows from its name, or else the next one that nothing has.
/// Users choose before groups, and all in the order of their names: one that comes later moves none before it. `None` if there
/// are more names than ids.
fn ids(users: &BTreeMap<UserName, User>) -> Option<BTreeMap<String, u32>> {
    let fixed = users
        .iter()
        .filter_map(|(name, user)| Some((name.0.clone(), user.uid?.0)));
    let mut ids: BTreeMap<String, u32> = fixed.collect();
    let mut taken = Taken::default();
    for id in ids.values().filter(|id| **id >= LEAST_DERIVED_ID) {
        taken.next(*id)?;
    }
    let groups = users.values().flat_map(|user| &user.groups);
    let groups: BTreeSet<&str> = groups.map(GroupName::as_str).collect();
    let users = users.keys().map(|name| name.0.as_str());
    for name in users.chain(groups) {
        if !ids.contains_key(name) {
            ids.insert(name.to_owned(), taken.next(derived_id(name))?);
        }
    }
    Some(ids)
}

/// Ids that are taken, each with a later one before which none is free.
#[derive(Default)]
struct Taken(BTreeMap<u32, u32>);

impl Taken {
    /// Takes the first free id from `first` on; the least one follows the last.
    fn next(&mut self, first: u32) -> Option<u32> {
        if self.0.len() > (MOST_ID - LEAST_DERIVED_ID) as usize {
            return None;
        }
        let mut id = first;
        let mut passed = Vec::new();
        while let Some(later) = self.0.get(&id) {
            passed.push(id);
            id = *later;
        }
        let later = match id {
            MOST_ID => LEAST_DERIVED_ID,
            id => id + 1,
        };
        // However many names have one id, none is passed often.
        self.0
            .extend(passed.into_iter().chain([id]).map(|id| (id, later)));
        Some(id)
    }
}

impl<'de> Deserialize<'de> for Users {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ByName)
    }
}

struct ByName;

impl<'de> Visitor<'de> for ByName {
    type Value = Users;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table of users")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Users, A::Error> {
        let mut by_name = BTreeMap::new();
        let mut uids = BTreeMap::new();
        while let Some(name) = map.next_key::<UserName>()? {
            let user = map.next_value_seed(Distinct {
                name: &name.0,
                uids: &mut uids,
            })?;
            by_name.insert(name, user);
        }
        let ids = ids(&by_name);
        let ids =
            ids.ok_or_else(|| A::Error::custom("there are more users and groups than ids"))?;
        Ok(Users { by_name, ids })
    }
}

/// A user whose `uid` no other has. An error has the place of the user.
struct Distinct<'a> {
    name: &'a str,
    /// Whose each `uid` is.
    uids: &'a mut BTreeMap<u32, String>,
}

impl<'de> DeserializeSeed<'de> for Distinct<'_> {
    type Value = User;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<User, D::Error> {
        let user = User::deserialize(from)?;
        if let Some(UserId(id)) = user.uid {
            if let Some(other) = self.uids.insert(id, self.name.to_owned()) {
                return Err(D::Error::custom(format!(
                    "uid {id} is that of `{other}`, too: write another `uid` for one of them"
                )));
            }
        }
        Ok(user)
    }
}

/// The name of a user.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

impl std::borrow::Borrow<str> for UserName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name == "root" {
            return Err(
                "`root` is a user of the system: `ssh-authorized-keys` and `ssh.principals` are root's"
                    .to_owned(),
            );
        }
        match (is_name(&name), SYSTEM_NAMES.contains(&name.as_str())) {
            (true, false) => Ok(Self(name)),
            (true, true) => Err(format!(
                "`{name}` is a name of the system: write another one"
            )),
            (false, _) => Err(format!("`{name}` is not a user's name: {NAME_FORM}")),
        }
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

/// The name of a group: an element of `users.NAME.groups`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct GroupName(String);

impl GroupName {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for GroupName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match (is_name(&name), SYSTEM_NAMES.contains(&name.as_str())) {
            (true, false) => Ok(Self(name)),
            (true, true) => Err(format!(
                "`{name}` is a group of the system: `admin = true` gives the rights of an administrator"
            )),
            (false, _) => Err(format!("`{name}` is not a group's name: {NAME_FORM}")),
        }
    }
}

impl From<GroupName> for String {
    fn from(name: GroupName) -> Self {
        name.0
    }
}

fn is_name(name: &str) -> bool {
    let starts = |c: char| c.is_ascii_lowercase() || c == '_';
    let fits = |c: char| starts(c) || c.is_ascii_digit() || c == '-';
    name.starts_with(starts) && name.len() <= 32 && name.chars().all(fits)
}

/// What runs at a login. sshd refuses a user whose shell it does not find.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Shell {
    /// For people.
    #[default]
    #[serde(rename = "/bin/bash")]
    Bash,
    /// Dash.
    #[serde(rename = "/bin/sh")]
    Sh,
    /// Says that there is no shell, and ends.
    #[serde(rename = "/usr/sbin/nologin")]
    Nologin,
}

impl Shell {
    /// Its path in the image of the service `ssh`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Bash => "/bin/bash",
            Self::Sh => "/bin/sh",
            Self::Nologin => "/usr/sbin/nologin",
        }
    }
}

/// The id of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct UserId(u32);

impl TryFrom<i64> for UserId {
    type Error = String;

    fn try_from(id: i64) -> Result<Self, String> {
        match u32::try_from(id) {
            Ok(id @ LEAST_ID..=MOST_ID) => Ok(Self(id)),
            _ => Err(format!("uid must be {LEAST_ID}..={MOST_ID}, is {id}")),
        }
    }
}

impl From<UserId> for i64 {
    fn from(id: UserId) -> Self {
        id.0.into()
    }
}

/// A name in a certificate of a user: a line of a file of principals (sshd_config(5), `AuthorizedPrincipalsFile`), without
/// options.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Principal(String);

impl Principal {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Principal {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "@._:/+=-".contains(c);
        match !name.is_empty() && name.len() <= 256 && name.chars().all(fits) {
            true => Ok(Self(name)),
            false => Err(format!(
                "`{name}` is not a principal: write letters, digits and `@._:/+=-`, 256 at most"
            )),
        }
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    fn read(text: &str) -> Result<Users, String> {
        let read = toml::from_str::<Machine>(text).map(|machine| machine.users);
        read.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn names_are_those_of_useradd() {
        let longest = "x".repeat(32);
        for (name, want) in [
            ("alice", None),
            ("_x-1", None),
            (&*longest, None),
            ("", Some("is not a user's name")),
            ("Alice", Some("is not a user's name")),
            ("1st", Some("is not a user's name")),
            ("-a", Some("is not a user's name")),
            ("a.b", Some("is not a user's name")),
            ("a:b", Some("is not a user's name")),
            ("a\nb", Some("is not a user's name")),
            ("../a", Some("is not a user's name")),
            (&format!("{longest}x"), Some("is not a user's name")),
            ("sshd", Some("is a name of the system: write another one")),
            ("root", Some("is a user of the system")),
        ] {
            let got = UserName::try_from(name.to_owned()).err();
            match want {
                None => assert_eq!(got, None, "{name}"),
                Some(want) => {
                    let got = got.unwrap();
                    assert!(got.starts_with(&format!("`{name}` {want}")), "{got}");
                }
            }
        }
    }

    #[test]
    fn the_names_of_the_system_are_in_order() {
        assert!(SYSTEM_NAMES.is_sorted());
    }

    #[test]
    fn ids_follow_from_names_alone() {
        let alone = read("[users.alice]").unwrap();
        let among = read("[users.aaron]\n[users.alice]\n[users.zoe]\nuid = 1000").unwrap();
        for users in [&alone, &among] {
            assert_eq!(users.id("alice"), 17_479);
        }
        assert_eq!(among.id("zoe"), 1000);
        for name in ["a", "b", "web", "x"] {
            assert!((LEAST_DERIVED_ID..=MOST_ID).contains(&derived_id(name)));
        }
        let shared = "[users.a]\ngroups = ['web', 'b']\n[users.b]\ngroups = ['web']\nuid = 1000";
        let shared = read(shared).unwrap();
        assert_eq!(shared.id("b"), 1000);
        assert_eq!(shared.id("web"), derived_id("web"));
    }

    #[test]
    fn no_two_have_one_id() {
        let (alice, web) = (derived_id("alice"), derived_id("web"));
        assert_eq!(derived_id("bob-simon"), derived_id("heidi-peggy"));
        let same = derived_id("bob-simon");
        for (text, want) in [
            // In the order of names, whoever is written first.
            (
                "[users.heidi-peggy]\n[users.bob-simon]".to_owned(),
                vec![("bob-simon", same), ("heidi-peggy", same + 1)],
            ),
            (
                format!(
                    "[users.a]\nuid = {alice}\n[users.alice]\n[users.b]\nuid = {}",
                    alice + 1
                ),
                vec![("a", alice), ("b", alice + 1), ("alice", alice + 2)],
            ),
            (
                format!("[users.b]\ngroups = ['web']\n[users.c]\nuid = {web}"),
                vec![("c", web), ("web", web + 1)],
            ),
        ] {
            let users = read(&text).unwrap();
            for (name, id) in want {
                assert_eq!(users.id(name), id, "{text}: {name}");
            }
        }
        let twice = read("[users.a]\nuid = 1000\n[users.b]\nuid = 1000");
        let want = "uid 1000 is that of `a`, too: write another `uid` for one of them";
        assert_eq!(twice, Err(want.to_owned()));
    }

    #[test]
    fn after_the_last_id_comes_the_least_and_each_is_taken_once() {
        let mut taken = Taken::default();
        let most = [MOST_ID; 3].map(|id| taken.next(id).unwrap());
        assert_eq!(most, [MOST_ID, LEAST_DERIVED_ID, LEAST_DERIVED_ID + 1]);
        let rest = std::iter::from_fn(|| taken.next(MOST_ID));
        let rest: BTreeSet<u32> = rest.collect();
        assert_eq!(rest.len(), 50_000 - 3);
    }

    #[test]
    fn one_bad_value_costs_itself() {
        const KEY: &str =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let text = format!(
            "[users.alice]\nssh-authorized-keys = ['ssh-ed25519 AAAA', '{KEY}']\nadmin = 'yes'\nuid = 7\nshell = '/bin/zsh'\n\
             groups = ['docker', 'web']\nprincipals = ['a b', 'ops']\n[users.bob]\nuid = 1000\n[users.carol]\nuid = 1000\n\
             ssh-authorized-keys = ['{KEY}']\n[users.root]\n"
        );
        let image = crate::service::Services::new();
        let mut layers = crate::Layers::new(&image);
        layers.add("u", text.as_bytes());
        let read = layers.finish();
        let problems: Vec<&str> = read
            .problems
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(
            problems,
            [
                "users.alice.ssh-authorized-keys[0]",
                "users.alice.admin",
                "users.alice.uid",
                "users.alice.shell",
                "users.alice.groups[0]",
                "users.alice.principals[0]",
                "users.carol.uid",
                "users.root",
            ]
        );
        let users = read.machine.users;
        let alice = users.get("alice").unwrap();
        let lines: Vec<_> = alice
            .ssh_authorized_keys
            .iter()
            .map(AuthorizedKey::line)
            .collect();
        assert_eq!(lines, [Some(KEY)]);
        assert!(!alice.admin);
        assert_eq!(alice.groups, [GroupName("web".to_owned())]);
        assert_eq!(alice.principals, [Principal("ops".to_owned())]);
        assert_eq!(users.get("carol").unwrap().ssh_authorized_keys.len(), 1);
        assert_eq!(users.iter().count(), 3);
    }
}
