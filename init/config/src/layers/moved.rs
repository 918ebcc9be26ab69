//! Keys that were renamed or removed in a release. An old name works with a warning, or is refused with what to write instead;
//! none is ignored.

use super::tree::{self, Path, Step};
use std::ops::Range;
use toml::de::DeTable;

/// A key that was renamed or removed.
#[derive(Debug, Clone, Copy)]
pub struct Moved {
    /// Its old name, in which `*` is any key.
    pub from: &'static [&'static str],
    /// The release that did so, as in `0.2`.
    pub since: &'static str,
    /// What to write now.
    pub now: Now,
}

/// What to write instead of an old name.
#[derive(Debug, Clone, Copy)]
pub enum Now {
    /// This key, with the same values. Each `*` is what it is in the old name, which works until it is removed.
    Renamed(&'static [&'static str]),
    /// The old name is refused; this sentence says what to write.
    Removed(&'static str),
}

/// All of them.
pub const MOVED: &[Moved] = &[];

/// A key with an old name, and what to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Old {
    /// As written.
    pub(super) path: Path,
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Moved {
    /// The new name of `path`, which has the old one.
    fn renamed(&self, path: &Path) -> Option<Path> {
        let Now::Renamed(to) = self.now else {
            return None;
        };
        let chosen = path.0.iter().zip(self.from);
        let mut chosen = chosen.filter_map(|(step, name)| (*name == "*").then_some(step));
        let step = |name: &&str| match *name {
            "*" => chosen.next().cloned(),
            name => Some(Step::Key(name.to_owned())),
        };
        to.iter().map(step).collect::<Option<_>>().map(Path)
    }
}

/// Gives the keys in `table` their new names, and says so of each. Where both are set, the new name wins.
pub(super) fn rename(table: &mut DeTable<'_>, moved: &[Moved]) -> Vec<Old> {
    let mut renamed = Vec::new();
    for moved in moved {
        for path in tree::matching(table, moved.from) {
            let Some(to) = moved.renamed(&path) else {
                continue;
            };
            let Some(value) = tree::get(table, &path).cloned() else {
                continue;
            };
            let span = tree::span(table, &path);
            tree::remove(table, &path);
            let mut message = about(&path, &to, moved.since);
            if tree::get(table, &to).is_some() {
                message += &format!("; both are set, and `{to}` is in force");
            } else {
                tree::insert(table, &to.0, &span, value);
            }
            renamed.push(Old {
                path,
                span,
                message,
            });
        }
    }
    renamed
}

/// The keys in `table` that were removed: where, and what to write instead.
pub(super) fn removed(table: &DeTable<'_>, moved: &[Moved]) -> Vec<(Range<usize>, String)> {
    let mut removed = Vec::new();
    for Moved { from, since, now } in moved {
        let Now::Removed(instead) = now else {
            continue;
        };
        for path in tree::matching(table, from) {
            let message = format!("unknown key since {since}: {instead}");
            removed.push((tree::span(table, &path), message));
        }
    }
    removed
}

/// The new name of `path` if that is an old one, and what to say of it.
pub(super) fn new_name(path: &Path, moved: &[Moved]) -> Option<(Path, String)> {
    moved.iter().find_map(|moved| {
        let prefix = path.within(&[moved.from])?;
        let mut to = moved.renamed(&prefix)?;
        to.0.extend_from_slice(&path.0[prefix.0.len()..]);
        let message = about(path, &to, moved.since);
        Some((to, message))
    })
}

fn about(old: &Path, new: &Path, since: &str) -> String {
    format!("`{old}` is called `{new}` since {since}")
}
