//! `/proc/PID/mountinfo` (`proc_pid_mountinfo(5)`).

/// A line: what is mounted where. Paths are as the kernel writes them, see [`unescaped`].
#[derive(Debug)]
pub(crate) struct Mount<'a> {
    pub(crate) id: &'a str,
    pub(crate) parent: &'a str,
    pub(crate) root: &'a str,
    pub(crate) target: &'a str,
    /// Of the mount.
    pub(crate) options: &'a str,
    pub(crate) fstype: &'a str,
    /// Of the file system as a whole.
    pub(crate) super_options: &'a str,
}

/// The mounts in their order. Malformed lines are skipped.
pub(crate) fn mounts(mountinfo: &str) -> impl Iterator<Item = Mount<'_>> + Clone {
    mountinfo.lines().filter_map(parse)
}

/// Id, parent, device, root, target, options, any number of tags, `-`, type, source, options of the file system.
fn parse(line: &str) -> Option<Mount<'_>> {
    let (mount, filesystem) = line.split_once(" - ")?;
    let mut mount = mount.split(' ');
    let mut filesystem = filesystem.split(' ');
    Some(Mount {
        id: mount.next()?,
        parent: mount.next()?,
        root: mount.nth(1)?,
        target: mount.next()?,
        options: mount.next()?,
        fstype: filesystem.next()?,
        super_options: filesystem.nth(1)?,
    })
}

/// The kernel writes blanks, tabs, newlines and backslashes in octal.
pub(crate) fn unescaped(path: &str) -> String {
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    let replace = |path: String, (escaped, character)| path.replace(escaped, character);
    escapes.into_iter().fold(path.to_owned(), replace)
}
