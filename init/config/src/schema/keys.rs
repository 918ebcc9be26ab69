//! Every key of the schema.

use super::keyword;
use serde_json::{Map, Value};
use std::fmt;

/// A part of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The part, or what stands for one that users choose, such as `NAME`.
    pub name: String,
    /// The part, or an example of what users choose.
    pub example: String,
}

/// A key that has a value, and tables above it.
#[derive(Debug, Clone)]
pub struct Key<'s> {
    /// Its parts.
    pub steps: Vec<Step>,
    /// The schema of each table that it is in, from the root on.
    pub tables: Vec<&'s Map<String, Value>>,
    /// The schema of its value.
    pub schema: &'s Map<String, Value>,
}

impl fmt::Display for Key<'_> {
    /// As TOML spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.steps.iter().enumerate() {
            let dot = if depth == 0 { "" } else { "." };
            let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            match step.example.chars().all(is_bare) {
                true => write!(f, "{dot}{}", step.name)?,
                false => write!(f, "{dot}\"{}\"", step.name)?,
            }
        }
        Ok(())
    }
}

/// The keywords under which a table has the schemas of what is in it, by key or by the pattern of keys.
const BY_KEY: [&str; 2] = ["properties", "patternProperties"];

/// Every key of `schema` that is not a table of others, in alphabetical order. A list is one key, and so is a table whose
/// content is not ours, such as that of a Compose file.
#[must_use]
pub fn keys(schema: &Value) -> Vec<Key<'_>> {
    let mut keys = Vec::new();
    if let Some(root) = schema.as_object() {
        collect(root, &[], &[], &mut keys);
    }
    keys
}

fn collect<'s>(
    table: &'s Map<String, Value>,
    steps: &[Step],
    tables: &[&'s Map<String, Value>],
    keys: &mut Vec<Key<'s>>,
) {
    let tables = [tables, &[table]].concat();
    for (step, schema) in entries(table) {
        let steps = [steps, &[step]].concat();
        if entries(schema).next().is_some() {
            collect(schema, &steps, &tables, keys);
        } else {
            keys.push(Key {
                steps,
                tables: tables.clone(),
                schema,
            });
        }
    }
}

/// What a table has, by key.
fn entries(table: &Map<String, Value>) -> impl Iterator<Item = (Step, &Map<String, Value>)> {
    let named = BY_KEY
        .iter()
        .filter_map(|keyword| table.get(*keyword)?.as_object())
        .flatten()
        .map(|(key, schema)| (key.as_str(), schema));
    let others = table.get("additionalProperties").map(|schema| ("", schema));
    named.chain(others).filter_map(|(key, schema)| {
        let schema = schema.as_object()?;
        let said = |keyword| Some(schema.get(keyword)?.as_str()?.to_owned());
        let name = said(keyword::NAME).unwrap_or_else(|| key.to_owned());
        let example = said(keyword::NAME_EXAMPLE).unwrap_or_else(|| key.to_owned());
        Some((Step { name, example }, schema))
    })
}

/// Changes the schema of each key that is not a table of others, by the parts of the key.
pub(super) fn each_leaf(
    schema: &mut Value,
    path: &[String],
    change: &mut impl FnMut(&[String], &mut Map<String, Value>),
) {
    let Some(table) = schema.as_object_mut() else {
        return;
    };
    if entries(table).next().is_none() {
        change(path, table);
        return;
    }
    // That of its keys says it all.
    table.remove("default");
    for keyword in BY_KEY {
        let inner = table.get_mut(keyword).and_then(Value::as_object_mut);
        for (key, schema) in inner.into_iter().flatten() {
            each_leaf(schema, &[path, std::slice::from_ref(key)].concat(), change);
        }
    }
    if let Some(schema) = table.get_mut("additionalProperties") {
        each_leaf(schema, &[path, &["*".to_owned()]].concat(), change);
    }
}
