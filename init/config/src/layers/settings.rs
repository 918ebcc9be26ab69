//! What the configuration says, key by key, for people.

use super::Layers;
use super::tree::Path;
use crate::machine::Machine;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use toml::de::{DeTable, DeValue, ValueDeserializer};
use toml::{Table, Value};

/// Where a key was set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The source: `image`, `nocloud`, `fw_cfg`.
    pub source: String,
    /// The line in it, from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.source, self.line)
    }
}

/// The value of a key.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// What it is.
    pub value: Value,
    /// Where it was set; `None` for a default.
    pub origin: Option<Origin>,
    /// Whether it is shown to nobody.
    pub is_secret: bool,
}

/// Values by dotted key as TOML spells it. A list is one value, and so is an empty table.
pub type Settings = BTreeMap<String, Setting>;

/// Keys whose values are shown to nobody. References to secrets are tables below them, and are shown.
const SECRETS: [&[&str]; 4] = [
    &["engine", "tlskey"],
    &["files", "*", "base64"],
    &["files", "*", "text"],
    &["registries", "*", "password"],
];

/// Sections without defaults of their own: the image's services have theirs, and the others are about the text.
const WITHOUT_DEFAULTS: [&str; 4] = ["apps", "schema", "services", "unset"];

impl Layers<'_> {
    /// What is set, and where.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::new();
        self.collect(&Path::default(), &self.merged, &mut settings);
        let left_out = self.finish().problems.into_iter().skip(self.problems.len());
        for problem in left_out {
            settings.retain(|key, _| !is_in(key, &problem.key));
        }
        settings
    }

    fn collect(&self, path: &Path, table: &DeTable<'_>, settings: &mut Settings) {
        for (key, value) in table {
            let path = path.key(key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if !inner.is_empty() => self.collect(&path, inner, settings),
                _ => {
                    let (source, line) = self.texts.line(key.span().start).unwrap_or_default();
                    let source = source.to_owned();
                    let origin = Some(Origin { source, line });
                    // Any value of TOML is one.
                    let value = Value::deserialize(ValueDeserializer::from(value.clone()));
                    if let Ok(value) = value {
                        settings.insert(path.to_string(), setting(&path, value, origin));
                    }
                }
            }
        }
    }
}

/// The values of `machine` that are in none of its sources.
#[must_use]
pub fn defaults(machine: &Machine, settings: &Settings) -> Settings {
    let mut defaults = Settings::new();
    // A configuration that was read can be written.
    if let Ok(mut table) = Table::try_from(machine) {
        table.retain(|section, _| !WITHOUT_DEFAULTS.contains(&section));
        flatten(&Path::default(), table, &mut defaults);
    }
    // A list that is a default is no table of what is set.
    defaults.retain(|key, _| !settings.keys().any(|set| is_in(set, key)));
    defaults
}

fn flatten(path: &Path, table: Table, settings: &mut Settings) {
    for (key, value) in table {
        let path = path.key(&key);
        match value {
            Value::Table(inner) if inner.is_empty() => {}
            Value::Table(inner) => flatten(&path, inner, settings),
            value => {
                settings.insert(path.to_string(), setting(&path, value, None));
            }
        }
    }
}

fn setting(path: &Path, value: Value, origin: Option<Origin>) -> Setting {
    Setting {
        value,
        origin,
        is_secret: SECRETS.iter().any(|pattern| path.matches(pattern)),
    }
}

/// Whether the dotted key `key` is `of`, or in it.
#[must_use]
pub fn is_in(key: &str, of: &str) -> bool {
    let rest = key.strip_prefix(of);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}
