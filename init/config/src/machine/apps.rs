//! Apps: Compose specifications.

use super::Reference;
use super::secrets::Lookup;
use crate::text::reword;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Debug, Formatter};
use toml::{Table, Value};

/// An app: a Compose specification written in TOML, or `compose` with its YAML text, or `compose-file` with its path. A
/// variable of a service's environment may be a reference to a secret.
#[derive(Clone, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Table")]
pub struct App(Table);

impl TryFrom<Table> for App {
    type Error = String;

    fn try_from(mut table: Table) -> Result<Self, String> {
        let named = forms(|form| table.contains_key(form));
        match (&named[..], table.len()) {
            (["services"], _) => {}
            (["compose"], 1) if table["compose"].is_str() => {}
            (["compose-file"], 1) => check_path(&table["compose-file"])?,
            _ => {
                return Err(
                    "an app has `services` as in a Compose specification, or only `compose` with its YAML text, or only \
                     `compose-file` with its path"
                        .to_owned(),
                );
            }
        }
        let mut values = table.iter_mut().map(|(_, value)| value);
        values.try_for_each(without_dates)?;
        for (service, name, value) in variables(&mut table).filter(|(.., value)| value.is_table()) {
            Reference::deserialize(value.clone()).map_err(|error| {
                format!(
                    "services.{service}.environment.{name}: {}",
                    reword(error.message())
                )
            })?;
        }
        Ok(Self(table))
    }
}

/// Without its content: environments of apps hold secrets.
impl Debug for App {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "App({})", super::HIDDEN)
    }
}

impl App {
    /// Where its secrets are kept.
    pub(super) fn references(&self) -> Vec<Reference> {
        let services = self.0.get("services").and_then(Value::as_table);
        let services = services.into_iter().flatten();
        let environments =
            services.filter_map(|(_, service)| service.get("environment")?.as_table());
        let tables = environments.flatten().filter(|(_, value)| value.is_table());
        tables
            .filter_map(|(_, value)| Reference::deserialize(value.clone()).ok())
            .collect()
    }

    /// Puts secrets in place of the references to them. A missing one keeps Compose from starting the app: without it, a
    /// program may let anyone in.
    pub(super) fn fill(&mut self, app: &str, lookup: &mut Lookup<'_>) {
        for (service, name, value) in variables(&mut self.0) {
            let Ok(reference) = Reference::deserialize(value.clone()) else {
                continue;
            };
            let key = format!("apps.{app}.services.{service}.environment.{name}");
            let found = lookup.get(&key, &reference, "the app does not start", |bytes| {
                // Compose puts variables of its own in place of `$`.
                bytes.line().map(|line| line.replace('$', "$$"))
            });
            *value = Value::String(found.unwrap_or_else(|| lacks(&reference)));
        }
    }
}

/// The variables in the environments of services: the service, the name and the value of each.
fn variables(app: &mut Table) -> impl Iterator<Item = (&str, &str, &mut Value)> {
    let services = app.get_mut("services").and_then(Value::as_table_mut);
    services.into_iter().flatten().flat_map(|(service, value)| {
        let environment = value.get_mut("environment").and_then(Value::as_table_mut);
        let variables = environment.into_iter().flatten();
        variables.map(move |(name, value)| (service.as_str(), name.as_str(), value))
    })
}

/// What Compose refuses with this message, as the variable has no value (Compose specification, "Interpolation").
fn lacks(reference: &Reference) -> String {
    let what = reference.to_string().replace(['{', '}', '$'], "");
    format!("${{TARE_SECRET:?{what} is missing or useless: see `tare status`}}")
}

/// The keys that say what an app is, of those that it `has`: one, if it is well-formed.
pub(crate) fn forms(has: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let forms = ["services", "compose", "compose-file"].into_iter();
    forms.filter(|form| has(form)).collect()
}

/// Files of apps are where logins and the engine see them, too.
fn check_path(path: &Value) -> Result<(), String> {
    const FOLDERS: [&str; 5] = ["/data/", "/home/", "/mnt/", "/opt/", "/srv/"];
    match path.as_str() {
        Some(path) if FOLDERS.iter().any(|folder| path.starts_with(folder)) => Ok(()),
        _ => Err(format!(
            "compose-file must be a path below {}",
            FOLDERS
                .map(|folder| folder.trim_end_matches('/'))
                .join(", ")
        )),
    }
}

/// Compose knows no dates: as in YAML files that people write for it, they are text.
fn without_dates(value: &mut Value) -> Result<(), String> {
    match value {
        Value::Datetime(date) => *value = Value::String(date.to_string()),
        Value::Float(number) if !number.is_finite() => {
            return Err(format!(
                "{number} is not a number of a Compose specification"
            ));
        }
        Value::Array(values) => values.iter_mut().try_for_each(without_dates)?,
        Value::Table(table) => {
            let mut values = table.iter_mut().map(|(_, value)| value);
            values.try_for_each(without_dates)?;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::Machine;

    #[test]
    fn an_app_has_one_form_and_no_dates() {
        for (text, want) in [
            (
                "services.web = { image = 'x', labels = { since = 2026-01-01 } }",
                None,
            ),
            ("compose = 'services: {}'", None),
            ("compose-file = '/srv/shop/compose.yaml'", None),
            (
                "compose-file = '/root/compose.yaml'",
                Some("compose-file must be a path below /data, /home, /mnt, /opt, /srv"),
            ),
            (
                "image = 'x'",
                Some(
                    "an app has `services` as in a Compose specification, or only `compose` with its YAML text, or only \
                     `compose-file` with its path",
                ),
            ),
            (
                "services.web.cpus = inf",
                Some("inf is not a number of a Compose specification"),
            ),
        ] {
            let read = toml::from_str::<Machine>(&format!("[apps.a]\n{text}"));
            let error = read.as_ref().err().map(|error| error.message().to_owned());
            assert_eq!(error.as_deref(), want, "{text}");
            if let Ok(machine) = read {
                let written = toml::to_string(&machine.apps).unwrap();
                assert!(!written.contains("since = 2026"), "{written}");
            }
        }
    }
}
