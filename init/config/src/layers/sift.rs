//! What of a source can be used. A wrong key or value costs exactly what it stands for, and all of them are found at once.

use super::merge::overlay;
use super::read;
use super::tree::{self, Path, Step};
use crate::text::reword;
use std::ops::Range;
use toml::de::{DeTable, Error};

/// Lists whose elements stand alone: a wrong one costs itself. Of any other list it costs the whole.
const LISTS: [&[&str]; 13] = [
    &["ca-certificates"],
    &["modules"],
    &["network", "dns"],
    &["network", "interfaces", "*", "addresses"],
    &["network", "search"],
    &["ssh", "principals"],
    &["ssh", "trusted-user-ca-keys"],
    &["ssh-authorized-keys"],
    &["time", "servers"],
    &["unset"],
    &["users", "*", "groups"],
    &["users", "*", "principals"],
    &["users", "*", "ssh-authorized-keys"],
];

/// Tables that are left out as a whole: without one of their keys they would mean something else.
const WHOLE: [&[&str]; 7] = [
    &["apps", "*"],
    &["disks", "*"],
    &["files", "*"],
    &["jobs", "*"],
    &["log", "forward"],
    &["registries", "*"],
    &["services", "*", "lifecycle", "health"],
];

/// Keys that are left out together, in all sources: without TLS, the engine would take commands from anyone who reaches its
/// `hosts`.
pub(super) const TOGETHER: [&[&str]; 5] = [
    &["engine", "hosts"],
    &["engine", "tlscacert"],
    &["engine", "tlscert"],
    &["engine", "tlskey"],
    &["engine", "tlsverify"],
];

/// How many values are read, at most, to find all that is wrong in a source: after each error, all of the section or entry is
/// read again. What people write is far below that.
const MOST: usize = 1 << 17;

/// Something wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// What it costs, as written.
    pub(super) path: Path,
    /// What it is about.
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

impl Found {
    /// Whether it may cost the engine's TLS: it is about one of the keys that are left [out together](TOGETHER), a key that may
    /// have been meant to be one, or the whole section.
    pub(super) fn is_of_tls(&self) -> bool {
        match &self.path.0[..] {
            [Step::Key(section)] => section == "engine",
            [Step::Key(section), Step::Key(key), ..] if section == "engine" => {
                key == "hosts"
                    || key.starts_with("tls")
                    || self.message.contains("did you mean `tls")
            }
            _ => false,
        }
    }
}

/// What `part`, one section of a source or one of its entries, may add to `base`, and what is wrong with the rest:
/// `known` errors, by place, and those that reading shows. `read` counts the values that have been read for the source.
pub(super) fn sift<'t>(
    base: &DeTable<'t>,
    part: DeTable<'t>,
    known: Vec<(Range<usize>, String)>,
    read: &mut usize,
) -> (DeTable<'t>, Vec<Found>) {
    let mut sieve = Sieve {
        base,
        written: part.clone(),
        kept: part,
        found: Vec::new(),
        read,
    };
    for (span, message) in known {
        sieve.leave_out_named(span, message);
    }
    while let Err(error) = sieve.read() {
        let message = reword(error.message());
        if *sieve.read > MOST {
            sieve.give_up();
            break;
        }
        sieve.leave_out(error.span().unwrap_or_default(), message);
    }
    sieve.leave_out_wholes();
    (sieve.kept, sieve.found)
}

struct Sieve<'b, 't> {
    base: &'b DeTable<'t>,
    /// The part as written.
    written: DeTable<'t>,
    /// What is left of it.
    kept: DeTable<'t>,
    found: Vec<Found>,
    /// How many values have been read.
    read: &'b mut usize,
}

impl Sieve<'_, '_> {
    fn read(&mut self) -> Result<(), Error> {
        let kept = self.kept.clone();
        self.try_with(kept)
    }

    /// Reads the base with `part` on it.
    fn try_with(&mut self, part: DeTable<'_>) -> Result<(), Error> {
        let mut whole = self.base.clone();
        overlay(&mut whole, part);
        *self.read += tree::size(&whole);
        read(whole).map(drop)
    }

    /// Leaves out what an error at `span` costs.
    fn leave_out(&mut self, span: Range<usize>, message: String) {
        let at = self.place(&span);
        let contradicts = tree::get(&self.kept, &at)
            .is_some_and(|value| value.get_ref().is_table())
            && !["unknown ", "missing "]
                .iter()
                .any(|start| message.starts_with(start));
        let is_whole = contradicts && at.within(&WHOLE).as_ref() == Some(&at);
        let missing = self.found.iter().any(|found| {
            is_missing(&found.path, &at, &message) || is_whole && found.path.is_in(&at)
        });
        if missing {
            // It was there, and wrong.
            self.found
                .iter_mut()
                .filter(|found| found.path.is_in(&at))
                .for_each(|found| found.path.clone_from(&at));
            tree::remove(&mut self.kept, &at);
        } else if contradicts {
            self.cure(at, &span, message);
        } else {
            self.leave_out_at(at, span, message);
        }
    }

    /// Leaves out what has the wrong name at `span`.
    fn leave_out_named(&mut self, span: Range<usize>, message: String) {
        self.leave_out_at(self.place(&span), span, message);
    }

    fn leave_out_at(&mut self, at: Path, span: Range<usize>, message: String) {
        let written = tree::find(&self.written, &span);
        let written = cost(written.unwrap_or_else(|| at.clone()));
        self.remove(&cost(at), written, span, message);
    }

    /// Leaves out of the table `at` the key without which there is no error at `span`, or else the table.
    fn cure(&mut self, at: Path, span: &Range<usize>, message: String) {
        let cause = match at.within(&WHOLE) {
            Some(_) => None,
            None => self.cause(&at, span, &message),
        };
        let at = cause.unwrap_or(at);
        let span = tree::span(&self.kept, &at);
        self.remove(&at.clone(), at, span, message);
    }

    /// The key of the table `at` without which there is no error at `span`; of several, the one that `message` names first.
    fn cause(&mut self, at: &Path, span: &Range<usize>, message: &str) -> Option<Path> {
        let table = tree::get(&self.kept, at)?.get_ref().as_table()?;
        let mut keys: Vec<String> = table.keys().map(|key| key.get_ref().to_string()).collect();
        keys.sort_by_key(|key| message.find(key.as_str()).unwrap_or(usize::MAX));
        keys.into_iter().map(|key| at.key(&key)).find(|key| {
            let mut without = self.kept.clone();
            tree::remove(&mut without, key);
            let error = self.try_with(without).err().and_then(|error| error.span());
            *self.read <= MOST && error.as_ref() != Some(span)
        })
    }

    fn remove(&mut self, kept: &Path, written: Path, span: Range<usize>, message: String) {
        tree::remove(&mut self.kept, kept);
        self.found.push(Found {
            path: written,
            span,
            message,
        });
    }

    /// Leaves out the tables and groups of keys that a found error costs as a whole.
    fn leave_out_wholes(&mut self) {
        for found in &mut self.found {
            if let Some(whole) = found.path.within(&WHOLE) {
                tree::remove(&mut self.kept, &whole);
                found.path = whole;
            }
        }
        let Some(first) = self.found.iter().find(|found| found.is_of_tls()) else {
            return;
        };
        let message = format!("it needs {}", first.path);
        for keys in TOGETHER {
            let path = Path::of(keys);
            let span = tree::span(&self.kept, &path);
            if tree::remove(&mut self.kept, &path) {
                self.found.push(Found {
                    path,
                    span,
                    message: message.clone(),
                });
            }
        }
    }

    fn give_up(&mut self) {
        let at = self.section();
        let span = tree::span(&self.kept, &at);
        let message = "too many errors to tell which of its keys are right".to_owned();
        self.remove(&at.clone(), at, span, message);
    }

    /// The key or table at `span`, or else the section that the part is of.
    fn place(&self, span: &Range<usize>) -> Path {
        tree::find(&self.kept, span).unwrap_or_else(|| self.section())
    }

    /// The section that the part is of.
    fn section(&self) -> Path {
        let first = self.written.keys().next();
        first
            .map(|key| Path::of(&[key.get_ref()]))
            .unwrap_or_default()
    }
}

/// Whether `message`, about the table `at`, misses the key at `path`, or one that `path` is in.
fn is_missing(path: &Path, at: &Path, message: &str) -> bool {
    let missing = message
        .strip_prefix("missing key `")
        .and_then(|rest| rest.strip_suffix('`'));
    missing.is_some_and(|key| path.is_in(&at.key(key)))
}

/// What a wrong value at `path` costs.
fn cost(path: Path) -> Path {
    let Some(list) = path
        .0
        .iter()
        .position(|step| matches!(step, Step::Index(_)))
    else {
        return path;
    };
    let keys = Path(path.0[..list].to_vec());
    match LISTS.iter().any(|pattern| keys.matches(pattern)) {
        true => Path(path.0[..=list].to_vec()),
        false => keys,
    }
}
