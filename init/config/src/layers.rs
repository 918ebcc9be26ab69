//! The sources of a machine's configuration, one over the other.
//!
//! Whatever is wrong costs what it stands for and is a [`Problem`] with its place. A text that is not TOML costs its source.

mod merge;
mod moved;
mod names;
mod secret;
mod settings;
mod sift;
mod texts;
mod tree;

pub use self::moved::{MOVED, Moved, Now};
#[cfg(feature = "schema")]
pub(crate) use self::secret::is_secret_key;
pub use self::settings::{Origin, Setting, Settings, defaults, is_in};

use self::merge::overlay;
use self::moved::Old;
use self::sift::{Found, TOGETHER, sift};
use self::texts::{Texts, placed};
use self::tree::Path;
use crate::depth;
use crate::error::{ConfigError, Location};
use crate::machine::{DottedKey, Machine, SchemaVersion, ZoneName};
use crate::problem::{Problem, Severity, shortened};
use crate::resolve::{Resolved, resolve};
use crate::service::Services;
use crate::text::{decode, reword};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue, Deserializer, ValueDeserializer};

/// Sections whose entries have nothing to do with each other. Each entry is read by itself, so that errors in one of many
/// take no longer than in one of few.
const APART: [&str; 5] = ["apps", "files", "jobs", "registries", "services"];

/// How many errors of a text that is not TOML are said, each with its place.
const MOST_ERRORS: usize = 100;

/// Beginnings of texts that people give to other systems as user-data, and what these are.
const FOREIGN: [(&str, &str); 7] = [
    ("#cloud-config", "YAML for cloud-init"),
    ("#!", "a script"),
    ("Content-Type:", "a message of several parts for cloud-init"),
    ("MIME-Version:", "a message of several parts for cloud-init"),
    ("variant:", "YAML for Butane"),
    ("version: v1", "YAML for Talos"),
    ("{", "JSON"),
];

/// The configuration that several sources make.
#[derive(Debug, Default)]
pub struct Configuration {
    /// Its values.
    pub machine: Machine,
    /// The services that run, as the image and the values describe them.
    pub services: Services,
    /// What was left out, by source and place.
    pub problems: Vec<Problem>,
}

/// What became of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// All of it is in force.
    Whole,
    /// All but what the problems say.
    InPart,
    /// Nothing of it.
    Rejected,
}

/// Whether the image has a time zone, or what to say about it.
pub type CheckZone = fn(&ZoneName) -> Result<(), String>;

/// Sources merged so far, from the weakest on.
#[derive(Debug)]
pub struct Layers<'t> {
    image: &'t Services,
    zones: Option<CheckZone>,
    texts: Texts<'t>,
    merged: DeTable<'t>,
    /// What `merged` describes.
    machine: Machine,
    problems: Vec<Problem>,
    /// What was wrong about the engine's TLS.
    without_tls: Option<String>,
    /// Old names of keys.
    moved: &'static [Moved],
}

impl<'t> Layers<'t> {
    /// No source yet, of a machine whose image has the services `image`.
    #[must_use]
    pub fn new(image: &'t Services) -> Self {
        Self {
            image,
            zones: None,
            texts: Texts::default(),
            merged: DeTable::new(),
            machine: Machine::default(),
            problems: Vec::new(),
            without_tls: None,
            moved: MOVED,
        }
    }

    /// The same, with a check of the names of time zones. Without it, each well-formed name is taken.
    #[must_use]
    pub fn with_zones(self, check: CheckZone) -> Self {
        let zones = Some(check);
        Self { zones, ..self }
    }

    /// Lays the text `bytes` of `source` over those before it. Tables are merged, any other value is replaced. What is
    /// wrong by itself, or contradicts those before, is left out.
    pub fn add(&mut self, source: &str, bytes: &'t [u8]) -> Added {
        let before = self.problems.len();
        let parsed = self.parse(source, bytes);
        let rejected = parsed.is_err();
        match parsed {
            Ok(table) => self.lay(table),
            Err(problems) => self.problems.extend(problems),
        }
        let problems = &mut self.problems[before..];
        by_place(problems);
        let is_error = |problem: &Problem| problem.severity == Severity::Error;
        match problems.iter().any(is_error) {
            _ if rejected => Added::Rejected,
            true => Added::InPart,
            false => Added::Whole,
        }
    }

    fn lay(&mut self, mut table: DeTable<'t>) {
        for Old {
            path,
            span,
            message,
        } in moved::rename(&mut table, self.moved)
        {
            self.warn(path, &span, message);
        }
        if let Some(unset) = table.remove_entry("unset") {
            self.take_back(DeTable::from_iter([unset]));
        }
        if let Some(machine) = self.with_all(&table) {
            overlay(&mut self.merged, table);
            self.machine = machine;
            return;
        }
        let mut read = 0;
        for part in parts(table) {
            self.add_part(part, &mut read);
        }
        self.machine = self.read_merged();
    }

    fn read_merged(&mut self) -> Machine {
        // Each part was read before.
        read(self.merged.clone()).unwrap_or_else(|error| {
            let location = self.texts.location(error.span().unwrap_or_default().start);
            let message = reword(error.message());
            let error = ConfigError { location, message };
            self.problems.push(Problem::rejects(error, 0));
            Machine::default()
        })
    }

    /// The machine with all of `table`; `None` if something in it is wrong, by itself or given the sources before it. To read
    /// it at once takes a fraction of the time that its parts take.
    fn with_all(&self, table: &DeTable<'t>) -> Option<Machine> {
        if self.without_tls.is_some() || !self.wrong_names(table).is_empty() {
            return None;
        }
        let alone = read(table.clone()).ok()?;
        if self.merged.is_empty() {
            return Some(alone);
        }
        let mut all = self.merged.clone();
        overlay(&mut all, table.clone());
        read(all).ok()
    }

    /// The names in `table` that are wrong: where, and why.
    fn wrong_names(&self, table: &DeTable<'_>) -> Vec<(Range<usize>, String)> {
        let mut wrong = names::wrong(table, self.image, self.zones);
        wrong.extend(moved::removed(table, self.moved));
        wrong
    }

    /// Parses a source, and adds it to the texts.
    fn parse(&mut self, source: &str, bytes: &'t [u8]) -> Result<DeTable<'t>, Vec<Problem>> {
        let text = decode(source, bytes).map_err(|error| vec![Problem::rejects(error, 0)])?;
        let problem = |span: Range<usize>, error: &toml::de::Error| {
            let error = ConfigError {
                location: Location::of(source, text, span.start),
                message: reword(error.message()),
            };
            Problem::rejects(error, span.len())
        };
        depth::check(source, text)
            .map_err(|(error, length)| vec![Problem::rejects(error, length)])?;
        let (table, errors) = DeTable::parse_recoverable(text);
        let foreign = FOREIGN.iter().find(|(start, _)| text.starts_with(start));
        if let (Some((start, what)), Some(_)) = (foreign, errors.first()) {
            let message = format!(
                "this is {what}, not TOML: a name is set by `hostname = \"edge\"`, for example"
            );
            let location = Location::of(source, text, 0);
            return Err(vec![Problem::rejects(
                ConfigError { location, message },
                start.len(),
            )]);
        }
        if !errors.is_empty() {
            let more = errors.len().saturating_sub(MOST_ERRORS);
            let first = errors.iter().take(MOST_ERRORS);
            let problems = first.map(|error| problem(error.span().unwrap_or_default(), error));
            let mut problems: Vec<Problem> = problems.collect();
            if let (Some(last), true) = (problems.last_mut(), more > 0) {
                last.message += &format!("; {more} more errors follow");
            }
            return Err(problems);
        }
        let table = table.into_inner();
        if let Some(version) = table.get("schema") {
            SchemaVersion::deserialize(ValueDeserializer::from(version.clone()))
                .map_err(|error| vec![problem(version.span(), &error)])?;
        }
        let start = self.texts.add(source, text);
        Ok(placed(table, start))
    }

    /// Adds a section of a source, or an entry of it.
    fn add_part(&mut self, part: DeTable<'t>, read: &mut usize) {
        let wrong = self.wrong_names(&part);
        let (part, found) = sift(&DeTable::new(), part, wrong, read);
        self.leave_out_tls(&found);
        let is_right = found.is_empty();
        self.complain(found, "");
        let base = restricted(&self.merged, &part);
        let part = if is_right && base.is_empty() {
            part
        } else {
            let (part, found) = sift(&base, part, Vec::new(), read);
            self.leave_out_tls(&found);
            self.complain(found, &self.said_by());
            part
        };
        overlay(&mut self.merged, part);
        self.close_hosts();
    }

    /// Leaves out what weaker sources say of the engine's TLS if the last one has something of it wrong. To go on with theirs
    /// would be something else than was meant.
    fn leave_out_tls(&mut self, found: &[Found]) {
        let Some(first) = found.iter().find(|found| found.is_of_tls()) else {
            return;
        };
        let source = self.texts.sources().last().unwrap_or_default();
        let why = format!("it needs {}, which is wrong in {source}", first.path);
        for keys in TOGETHER {
            self.leave_out(Path::of(keys), &why);
        }
        self.without_tls = Some(why);
    }

    /// Leaves out the engine's `hosts` if they rely on TLS that was [left out](Self::leave_out_tls).
    fn close_hosts(&mut self) {
        let verify = tree::get(&self.merged, &Path::of(&["engine", "tlsverify"]));
        let is_verified = verify.and_then(|verify| verify.get_ref().as_bool()) == Some(true);
        if let (Some(why), false) = (self.without_tls.clone(), is_verified) {
            self.leave_out(Path::of(&["engine", "hosts"]), &why);
        }
    }

    /// Leaves out what is at `path`, if it is set.
    fn leave_out(&mut self, path: Path, why: &str) {
        let span = tree::span(&self.merged, &path);
        if tree::remove(&mut self.merged, &path) {
            let problem = self.problem(Severity::Error, path, &span, why.to_owned());
            self.problems.push(problem);
        }
    }

    /// Removes the keys that `part`, the key `unset` of a source, names.
    fn take_back(&mut self, part: DeTable<'t>) {
        let (part, found) = sift(&DeTable::new(), part, Vec::new(), &mut 0);
        self.complain(found, "");
        let texts = part
            .get("unset")
            .and_then(|unset| unset.get_ref().as_array());
        let before = self.merged.clone();
        let mut removed: BTreeMap<String, Vec<(Path, Range<usize>)>> = BTreeMap::new();
        for text in texts.into_iter().flatten() {
            let Ok(key) = DottedKey::deserialize(ValueDeserializer::from(text.clone())) else {
                continue;
            };
            let mut path = Path::of(key.keys());
            if let Some((new, message)) = moved::new_name(&path, self.moved) {
                path = new;
                self.warn(Path::of(&["unset"]), &text.span(), message);
            }
            let section = path.section().to_owned();
            if tree::remove(&mut self.merged, &path) {
                removed
                    .entry(section)
                    .or_default()
                    .push((path, text.span()));
            } else {
                let message = format!("no weaker source sets `{path}`");
                self.warn(Path::of(&["unset"]), &text.span(), message);
            }
        }
        for (section, keys) in removed {
            let name = section.as_str();
            let left = self
                .merged
                .get_key_value(name)
                .map(|(key, value)| (key.clone(), value.clone()));
            let Err(error) = read(DeTable::from_iter(left)) else {
                continue;
            };
            // It was valid before.
            if let Some((key, value)) = before.get_key_value(name) {
                self.merged.insert(key.clone(), value.clone());
            }
            for (path, span) in keys {
                let message = format!("`{path}` cannot be taken back: {}", reword(error.message()));
                self.problems.push(self.problem(
                    Severity::Error,
                    Path::of(&["unset"]),
                    &span,
                    message,
                ));
            }
        }
    }

    fn complain(&mut self, found: Vec<Found>, why: &str) {
        for found in found {
            let message = found.message + why;
            let problem = self.problem(Severity::Error, found.path, &found.span, message);
            self.problems.push(problem);
        }
    }

    fn warn(&mut self, path: Path, span: &Range<usize>, message: String) {
        let problem = self.problem(Severity::Warning, path, span, message);
        self.problems.push(problem);
    }

    fn problem(
        &self,
        severity: Severity,
        path: Path,
        span: &Range<usize>,
        message: String,
    ) -> Problem {
        Problem {
            severity,
            key: path.to_string(),
            location: self.texts.location(span.start),
            length: span.len(),
            message: shortened(message),
        }
    }

    /// The end of a message about what contradicts the sources before the last one.
    fn said_by(&self) -> String {
        let sources: Vec<&str> = self.texts.sources().collect();
        let before = sources.split_last().map_or(&[][..], |(_, before)| before);
        format!(", given {}", before.join(" and "))
    }

    /// What is wrong in the sources so far, in their order and by place.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The configuration of the sources so far.
    #[must_use]
    pub fn finish(self) -> Configuration {
        let (services, refused) = self.resolve();
        let mut problems = self.problems;
        problems.extend(refused);
        Configuration {
            machine: self.machine,
            services,
            problems,
        }
    }

    /// The services that run, and what the configuration says that does not fit those of the image.
    fn resolve(&self) -> (Services, Vec<Problem>) {
        let Resolved { services, refused } = resolve(self.image, &self.machine);
        let mut problems = Vec::new();
        for refused in refused {
            let path = Path::of(&refused.keys);
            if tree::get(&self.merged, &path).is_some_and(says_something) {
                let span = tree::span(&self.merged, &path);
                problems.push(self.problem(Severity::Error, path, &span, refused.message));
            }
        }
        by_place(&mut problems);
        (services, problems)
    }
}

fn by_place(problems: &mut [Problem]) {
    problems.sort_by(|a, b| {
        let place = |problem: &Problem| (problem.location.line, problem.location.column);
        let (of_a, of_b) = (&a.location.source, &b.location.source);
        of_a.cmp(of_b).then_with(|| place(a).cmp(&place(b)))
    });
}

/// Whether there is more than empty tables in `value`.
fn says_something(value: &Spanned<DeValue<'_>>) -> bool {
    match value.get_ref() {
        DeValue::Table(table) => table.values().any(says_something),
        _ => true,
    }
}

/// Everything that is wrong with `bytes`, the text of `source`, on a machine whose image has the services `image`.
#[must_use]
pub fn validate(source: &str, bytes: &[u8], image: &Services) -> Vec<Problem> {
    let mut layers = Layers::new(image);
    layers.add(source, bytes);
    layers.finish().problems
}

/// The machine that `table` describes.
fn read(table: DeTable<'_>) -> Result<Machine, toml::de::Error> {
    Machine::deserialize(Deserializer::from(Spanned::new(0..0, table)))
}

/// The sections of `table`, each as a table of its own, and the entries of those that are [`APART`].
fn parts(table: DeTable<'_>) -> Vec<DeTable<'_>> {
    let mut parts = Vec::new();
    for (key, value) in table {
        let (span, value) = (value.span(), value.into_inner());
        match value {
            DeValue::Table(entries) if APART.contains(&&**key.get_ref()) && entries.len() > 1 => {
                parts.extend(entries.into_iter().map(|entry| {
                    let entries = DeValue::Table(DeTable::from_iter([entry]));
                    DeTable::from_iter([(key.clone(), Spanned::new(span.clone(), entries))])
                }));
            }
            value => parts.push(DeTable::from_iter([(key, Spanned::new(span, value))])),
        }
    }
    parts
}

/// What `table` has of the sections in `part`, and of the entries that are [`APART`].
fn restricted<'t>(table: &DeTable<'t>, part: &DeTable<'t>) -> DeTable<'t> {
    let mut restricted = DeTable::new();
    for (key, value) in part {
        let Some((section, found)) = table.get_key_value(&**key.get_ref()) else {
            continue;
        };
        let found = match (found.get_ref(), value.get_ref()) {
            (DeValue::Table(all), DeValue::Table(some)) if APART.contains(&&**key.get_ref()) => {
                let entries = some
                    .keys()
                    .filter_map(|name| all.get_key_value(&**name.get_ref()));
                let entries = entries.map(|(name, entry)| (name.clone(), entry.clone()));
                Spanned::new(found.span(), DeValue::Table(entries.collect()))
            }
            _ => found.clone(),
        };
        restricted.insert(section.clone(), found);
    }
    restricted
}

#[cfg(test)]
mod tests;
