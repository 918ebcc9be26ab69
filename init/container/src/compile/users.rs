//! The users of a root filesystem: `passwd(5)`.

/// One line of `/etc/passwd`, as far as a container needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: String,
}

impl User {
    /// The superuser, which every system has.
    fn root() -> Self {
        Self {
            name: "root".to_owned(),
            uid: 0,
            gid: 0,
            home: "/root".to_owned(),
        }
    }
}

/// The users of a root filesystem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users(Vec<User>);

impl Users {
    /// Parses the text of an `/etc/passwd`. Invalid lines are skipped, as in the C library. Root exists even if the
    /// text is empty, so that a root filesystem of one file needs no `/etc/passwd`.
    #[must_use]
    pub fn parse(passwd: &str) -> Self {
        let mut users: Vec<User> = passwd.lines().filter_map(user).collect();
        users.push(User::root());
        Self(users)
    }

    /// The first user of that name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&User> {
        self.0.iter().find(|user| user.name == name)
    }
}

fn user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = id(fields.nth(1)?)?;
    let gid = id(fields.next()?)?;
    let home = fields.nth(1)?.to_owned();
    Some(User {
        name,
        uid,
        gid,
        home,
    })
}

/// The largest number is no id: to setresuid(2) it means that the id stays as it is, which is root's.
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX)
}
