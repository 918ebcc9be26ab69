//! Configuration layers. Each is checked on its own and then merged with those below it. A bad layer is rejected as a
//! whole.

use crate::error::{ConfigError, Location, unknown};
use crate::machine::Machine;
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

/// Merges `layers`, later ones over earlier ones. Tables are merged, any other value is replaced.
///
/// # Errors
/// If individually valid layers conflict when merged: why the last one does not fit those before it, which fit each
/// other.
pub fn merge(layers: &[Layer]) -> Result<(Machine, Origins), String> {
    let mut merged = Table::new();
    let mut origins = Origins::new();
    for layer in layers {
        overlay(&mut merged, &layer.table, &layer.source, "", &mut origins);
    }
    let machine = merged
        .try_into()
        .map_err(|error| conflict(layers, &error))?;
    Ok((machine, origins))
}

/// Merged layers have no line numbers; the text of the error names the key.
fn conflict(layers: &[Layer], error: &toml::de::Error) -> String {
    let names: Vec<&str> = layers.iter().map(|layer| layer.source.as_str()).collect();
    let (last, before) = names.split_last().unwrap_or((&"", &[]));
    let reason = reword(error.to_string().trim_end());
    format!(
        "{last} does not go together with {}: {reason}",
        before.join(" and ")
    )
}

fn overlay(under: &mut Table, over: &Table, source: &str, prefix: &str, origins: &mut Origins) {
    for (key, value) in over {
        let path = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        if let Value::Table(inner) = value {
            let slot = under
                .entry(key.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(existing) = slot {
                overlay(existing, inner, source, &path, origins);
                continue;
            }
        }
        under.insert(key.clone(), value.clone());
        origins.insert(path, source.to_owned());
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
