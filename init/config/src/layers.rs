//! Configuration layers. Each is checked on its own and then merged with those below it. A bad layer is rejected as a
//! whole; a good one that conflicts with those below it loses the keys that do.

use crate::error::{ConfigError, Location, unknown};
use crate::machine::{self, Machine};
use crate::service::Condition;
use crate::text::{decode, locate, name, reword};
use std::collections::BTreeMap;
use toml::de::DeTable;
use toml::{Table, Value};

/// A configuration source that has been checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Its name in messages: `image`, `fw_cfg`, `nocloud`.
    pub source: String,
    table: Table,
}

impl Layer {
    /// Checks `bytes` as configuration for a machine whose image has `services`.
    ///
    /// # Errors
    /// The first error in it. Nothing of the layer may be used then.
    pub fn parse(source: &str, bytes: &[u8], services: &[&str]) -> Result<Self, ConfigError> {
        let text = decode(source, bytes)?;
        let located = |error: toml::de::Error| locate(source, text, &error);
        toml::from_str::<Machine>(text).map_err(located)?;
        check_names(source, text, services)?;
        let table = toml::from_str(text).map_err(located)?;
        Ok(Self {
            source: source.to_owned(),
            table,
        })
    }
}

/// Which layer set a key, by the key's dotted path.
pub type Origins = BTreeMap<String, String>;

/// Tables that are replaced as a whole: a key of one layer's would contradict those of another's.
const REPLACED: &[&[&str]] = &[
    &["log", "forward"],
    &["services", "*", "lifecycle", "health"],
];

/// Layers merged so far, and their result.
#[derive(Debug, Default)]
pub struct Merged {
    /// The configuration.
    pub machine: Machine,
    /// Which layer set each key.
    pub origins: Origins,
    table: Table,
    sources: Vec<String>,
}

impl Merged {
    /// Lays `layer` over those before it. Tables are merged, any other value is replaced.
    ///
    /// Individually valid layers may conflict: one sets `log.total`, the other a `log.file` of the same size. Then
    /// the keys of `layer` that do not fit are left out. Returns one sentence for each.
    pub fn add(&mut self, layer: &Layer) -> Vec<String> {
        let mut left_out = Vec::new();
        self.fit(&layer.source, &mut Vec::new(), &layer.table, &mut left_out);
        self.sources.push(layer.source.clone());
        left_out
    }

    /// Adds the table at `path`, or if that conflicts, each of its keys that does not.
    fn fit(
        &mut self,
        source: &str,
        path: &mut Vec<String>,
        over: &Table,
        left_out: &mut Vec<String>,
    ) {
        if self.lay(source, path, over).is_ok() {
            return;
        }
        for (key, value) in over {
            path.push(key.clone());
            match value {
                Value::Table(inner) if !is_replaced(path) => {
                    self.fit(source, path, inner, left_out);
                }
                _ => {
                    let parent = &path[..path.len() - 1];
                    let one = Table::from_iter([(key.clone(), value.clone())]);
                    if let Err(error) = self.lay(source, parent, &one) {
                        left_out.push(self.conflict(source, &path.join("."), &error));
                    }
                }
            }
            path.pop();
        }
    }

    /// Adds the table at `path`, or nothing if it conflicts.
    fn lay(&mut self, source: &str, path: &[String], over: &Table) -> Result<(), toml::de::Error> {
        let nested = |inner, key: &String| Table::from_iter([(key.clone(), Value::Table(inner))]);
        let over = path.iter().rev().fold(over.clone(), nested);
        let (mut table, mut origins) = (self.table.clone(), self.origins.clone());
        overlay(&mut table, &mut origins, source, &mut Vec::new(), &over);
        self.machine = table.clone().try_into()?;
        (self.table, self.origins) = (table, origins);
        Ok(())
    }

    /// Merged layers have no line numbers; the text of the error names the key.
    fn conflict(&self, source: &str, key: &str, error: &toml::de::Error) -> String {
        format!(
            "{source}: `{key}` is left out, because it conflicts with {}: {}",
            self.sources.join(" and "),
            reword(error.to_string().trim_end())
        )
    }
}

/// True if the table at `path` is one of [`REPLACED`].
fn is_replaced(path: &[String]) -> bool {
    REPLACED.iter().any(|replaced| {
        let matches = |(name, key): (&&str, &String)| *name == "*" || name == key;
        replaced.len() == path.len() && replaced.iter().zip(path).all(matches)
    })
}

/// True if `over`, at `path`, is an app in another form than `under`, such as one that is baked into the image: it is
/// replaced as a whole.
fn is_other_form(path: &[String], under: &Value, over: &Value) -> bool {
    let forms = |app: &Value| app.as_table().map(machine::forms).unwrap_or_default();
    let is_app = path.len() == 2 && path[0] == "apps";
    is_app && !forms(over).is_empty() && forms(over) != forms(under)
}

/// Lays `over` over the table at `path`.
fn overlay(
    under: &mut Table,
    origins: &mut Origins,
    source: &str,
    path: &mut Vec<String>,
    over: &Table,
) {
    for (key, value) in over {
        path.push(key.clone());
        let dotted = path.join(".");
        let merges = |under: &Value| {
            value.is_table() && under.is_table() && !is_other_form(path, under, value)
        };
        if !under.get(key).is_some_and(merges) || is_replaced(path) {
            let below = format!("{dotted}.");
            under.remove(key);
            origins.retain(|key, _| *key != dotted && !key.starts_with(&below));
        }
        if let Value::Table(inner) = value {
            let slot = under.entry(key.clone());
            if let Value::Table(slot) = slot.or_insert_with(|| Value::Table(Table::new())) {
                overlay(slot, origins, source, path, inner);
            }
        } else {
            under.insert(key.clone(), value.clone());
            origins.insert(dotted, source.to_owned());
        }
        path.pop();
    }
}

/// Checks names that are used as keys: services must be in the image, names of apps and links must be well-formed.
fn check_names(source: &str, text: &str, services: &[&str]) -> Result<(), ConfigError> {
    let Ok(document) = DeTable::parse(text) else {
        return Ok(());
    };
    let known = |key: &str| match services.contains(&key) {
        true => Ok(()),
        false => Err(unknown("service", key, services)),
    };
    let table = document.get_ref();
    check_keys(source, text, table, &["services"], &known)?;
    check_conditions(source, text, table, &known)?;
    check_keys(source, text, table, &["apps"], &name)?;
    check_keys(source, text, table, &["network", "interfaces"], &link_name)
}

/// A service can only wait for services in the image.
fn check_conditions(
    source: &str,
    text: &str,
    table: &DeTable<'_>,
    known: &dyn Fn(&str) -> Result<(), String>,
) -> Result<(), ConfigError> {
    let services = table
        .get("services")
        .and_then(|all| all.get_ref().as_table());
    let after = services
        .into_iter()
        .flat_map(DeTable::values)
        .filter_map(|service| {
            let lifecycle = service.get_ref().as_table()?.get("lifecycle")?;
            let after = lifecycle.get_ref().as_table()?.get("after")?;
            after.get_ref().as_array()
        });
    for written in after.flatten() {
        let condition = written.get_ref().as_str().unwrap_or_default();
        let condition = Condition::try_from(condition.to_owned()).ok();
        let subject = condition.as_ref().and_then(Condition::subject);
        subject
            .map_or(Ok(()), known)
            .map_err(|message| ConfigError {
                location: Location::of(source, text, written.span().start),
                message,
            })?;
    }
    Ok(())
}

/// Applies `check` to every key of the table at `path`.
fn check_keys(
    source: &str,
    text: &str,
    table: &DeTable<'_>,
    path: &[&str],
    check: &dyn Fn(&str) -> Result<(), String>,
) -> Result<(), ConfigError> {
    let Some((first, rest)) = path.split_first() else {
        return table.keys().try_for_each(|key| {
            let located = |message| ConfigError {
                location: Location::of(source, text, key.span().start),
                message,
            };
            check(key.get_ref()).map_err(located)
        });
    };
    match table
        .get(*first)
        .and_then(|value| value.get_ref().as_table())
    {
        Some(inner) => check_keys(source, text, inner, rest, check),
        None => Ok(()),
    }
}

/// The kernel's rule for link names (`dev_valid_name`, net/core/dev.c).
fn link_name(name: &str) -> Result<(), String> {
    let fits = |c: char| !c.is_whitespace() && c != '/' && c != ':' && !c.is_control();
    if (1..16).contains(&name.len()) && name != "." && name != ".." && name.chars().all(fits) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a link name: 1 to 15 bytes, no space, `/` or `:`"
    ))
}

#[cfg(test)]
mod tests;
