//! `tare config apply`, `set` and `unset`: they change what this machine's own commands have set, the layer `local`.

use super::{Known, validate};
use crate::Failed;
use crate::args::How;
use crate::run::Context;
use serde::Serialize;
use std::path::Path;
use tare_config::is_in;
use tare_config::machine::DottedKey;
use tare_control::{ApplyConfiguration, CallError, Failure, Method, Source};
use toml_edit::{Array, DocumentMut, Item, Table, TableLike, Value};

/// What a change of one key begins with in a file that did not exist.
const HEAD: &str = "# Set by `tare config`. It is stronger than user-data.\n";

/// Puts the text of `file` in the place of all that was set before.
pub(super) fn apply(context: &Context, file: &Path, how: &How) -> Result<(), Failed> {
    let (name, bytes) = validate::read(file)?;
    let text = String::from_utf8(bytes)
        .map_err(|error| Failed::NotSo(format!("{name}: {}", error.utf8_error())))?;
    send(context, &Known::ask(context)?, None, text, how)
}

/// Sets one key.
pub(super) fn set(context: &Context, key: &str, value: &str, how: &How) -> Result<(), Failed> {
    let known = Known::ask(context)?;
    let text = with(known.text(layer(how)), key, value).map_err(Failed::NotSo)?;
    send(context, &known, Some(known.number), text, how)
}

/// Takes one key back, whoever has set it.
pub(super) fn unset(context: &Context, key: &str, how: &How) -> Result<(), Failed> {
    let known = Known::ask(context)?;
    let is_set = known.set.keys().any(|set| is_in(set, key));
    if !is_set {
        return Err(Failed::NotSo(super::why_not(key, &known.services)));
    }
    let layer = layer(how);
    let elsewhere = known.below(layer).keys().any(|set| is_in(set, key));
    let text = without(known.text(layer), key, elsewhere).map_err(Failed::NotSo)?;
    send(context, &known, Some(known.number), text, how)
}

/// What commands of this machine have set.
pub(super) const LOCAL: &str = "local";
/// The same until the next boot.
pub(super) const ONCE: &str = "once";

/// The source that a command changes.
pub(super) fn layer(how: &How) -> &'static str {
    match how.once {
        true => ONCE,
        false => LOCAL,
    }
}

/// Has `text` be all of the source; it was made from generation `base`, if from any.
pub(super) fn send(
    context: &Context,
    known: &Known,
    base: Option<u64>,
    text: String,
    how: &How,
) -> Result<(), Failed> {
    let overridden = overridden(known, layer(how), &text);
    let method = Method::ApplyConfiguration {
        text,
        dry_run: Some(how.dry_run),
        once: Some(how.once),
        confirm: how.confirm,
        base,
    };
    let applied = context.call(&method).map_err(lines)?;
    let told = Told {
        applied,
        overridden,
    };
    context.show(&told, |told, _| told.text())
}

/// Takes on what the sources of user-data hold now.
pub(super) fn pull(context: &Context, dry_run: bool, confirm: Option<u64>) -> Result<(), Failed> {
    let method = Method::PullConfiguration {
        dry_run: Some(dry_run),
        confirm,
    };
    let applied: ApplyConfiguration = context.call(&method).map_err(lines)?;
    told(context, applied)
}

/// Shows what was changed.
pub(super) fn told(context: &Context, applied: ApplyConfiguration) -> Result<(), Failed> {
    let told = Told {
        applied,
        overridden: Vec::new(),
    };
    context.show(&told, |told, _| told.text())
}

/// What a change has done.
#[derive(Debug, Serialize)]
struct Told {
    #[serde(flatten)]
    applied: ApplyConfiguration,
    /// What it has set to no effect.
    overridden: Vec<Overridden>,
}

/// A key that a source sets, but a stronger one, too.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Overridden {
    key: String,
    source: &'static str,
    /// The stronger one, with its line.
    by: String,
}

impl Told {
    fn text(&self) -> String {
        let Self {
            applied,
            overridden,
        } = self;
        let overridden = overridden.iter().map(|Overridden { key, source, by }| {
            format!("{key} is set in {source}, but {by} is stronger\n")
        });
        let changes = applied.changes.iter().map(|change| format!("{change}\n"));
        let mut text: String = changes.chain(overridden).collect();
        if text.is_empty() {
            text += "nothing changes\n";
        }
        if let Some(seconds) = applied.unconfirmed {
            let number = applied.number;
            text += &format!(
                "configuration {number} is taken back in {seconds} s unless `tare config confirm {number}` comes before\n"
            );
        }
        text
    }
}

/// The keys that `text` would set as the source `layer`, if a stronger one did not set them, too.
fn overridden(known: &Known, layer: &'static str, text: &str) -> Vec<Overridden> {
    let source = Source {
        name: layer.to_owned(),
        text: text.to_owned(),
    };
    let ours = super::settings(&known.services, [source].iter());
    let whole = known.with(layer, text);
    let stronger = |key: &String| {
        let origin = whole.get(key)?.origin.as_ref()?;
        (super::rank(&origin.source) > super::rank(layer)).then(|| Overridden {
            key: key.clone(),
            source: layer,
            by: origin.to_string(),
        })
    };
    ours.keys().filter_map(stronger).collect()
}

/// The problems of a text, a line each.
fn lines(failed: Failed) -> Failed {
    match failed {
        Failed::Call(CallError::Refused(Failure::ConfigurationInvalid { problems })) => {
            let count = match problems.len() {
                1 => "an error".to_owned(),
                count => format!("{count} errors"),
            };
            Failed::NotSo(format!(
                "{count}, and nothing is changed:\n{}",
                problems.join("\n")
            ))
        }
        other => other,
    }
}

/// `text` with `key` set to `value`: TOML, or if it is none, text.
fn with(text: &str, key: &str, value: &str) -> Result<String, String> {
    let keys = parse(key)?;
    let (mut document, is_new) = document(text)?;
    let (last, tables) = keys
        .split_last()
        .ok_or_else(|| format!("`{key}` is not a key"))?;
    let mut table: &mut dyn TableLike = document.as_table_mut();
    for key in tables {
        let inner = table.entry(key).or_insert_with(|| {
            let mut table = Table::new();
            table.set_implicit(true);
            Item::Table(table)
        });
        table = inner
            .as_table_like_mut()
            .ok_or_else(|| format!("`{key}` is set to something else than a table"))?;
    }
    let value = value
        .parse::<Value>()
        .unwrap_or_else(|_| Value::from(value));
    table.insert(last, Item::Value(value));
    drop_unset(&mut document, key);
    Ok(written(&document, is_new))
}

/// `text` without `key`; if `elsewhere`, with an `unset` of it.
fn without(text: &str, key: &str, elsewhere: bool) -> Result<String, String> {
    let keys = parse(key)?;
    let (mut document, is_new) = document(text)?;
    remove(document.as_table_mut(), &keys);
    if elsewhere {
        let unset = document
            .entry("unset")
            .or_insert_with(|| Item::Value(Array::new().into()));
        let unset = unset.as_array_mut().ok_or("`unset` is not a list here")?;
        if !unset.iter().any(|known| known.as_str() == Some(key)) {
            unset.push(key);
        }
    }
    Ok(written(&document, is_new))
}

/// Removes what is at `keys`, and the tables that are empty then.
fn remove(table: &mut dyn TableLike, keys: &[String]) {
    match keys {
        [] => {}
        [last] => drop(table.remove(last)),
        [first, rest @ ..] => {
            let Some(inner) = table.get_mut(first).and_then(Item::as_table_like_mut) else {
                return;
            };
            remove(inner, rest);
            if inner.is_empty() {
                table.remove(first);
            }
        }
    }
}

/// A key that is set is no longer taken back.
fn drop_unset(document: &mut DocumentMut, key: &str) {
    let Some(unset) = document.get_mut("unset").and_then(Item::as_array_mut) else {
        return;
    };
    unset.retain(|known| known.as_str() != Some(key));
    if unset.is_empty() {
        document.remove("unset");
    }
}

fn parse(key: &str) -> Result<Vec<String>, String> {
    DottedKey::try_from(key.to_owned()).map(|key| key.keys().to_vec())
}

/// The document, and whether it was empty.
fn document(text: &str) -> Result<(DocumentMut, bool), String> {
    let document = text.parse::<DocumentMut>();
    let document = document.map_err(|error| format!("what was set before is not TOML: {error}"))?;
    Ok((document, text.trim().is_empty()))
}

fn written(document: &DocumentMut, is_new: bool) -> String {
    match is_new {
        true => format!("{HEAD}{document}"),
        false => document.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_key_is_set_and_comments_stay() {
        for (text, key, value, want) in [
            (
                "",
                "hostname",
                "edge-17",
                "# Set by `tare config`. It is stronger than user-data.\nhostname = \"edge-17\"\n",
            ),
            (
                "# mine\nhostname = 'a' # old\n",
                "log.rate",
                "5",
                "# mine\nhostname = 'a' # old\n\n[log]\nrate = 5\n",
            ),
            ("log.rate = 1\n", "log.rate", "5", "log.rate = 5\n"),
            (
                "[network]\ndns = []\n",
                "network.dns",
                "['1.1.1.1']",
                "[network]\ndns = ['1.1.1.1']\n",
            ),
            (
                "x = 1\n",
                "sysctl.\"net.ipv4.ip_forward\"",
                "true",
                "x = 1\n\n[sysctl]\n\"net.ipv4.ip_forward\" = true\n",
            ),
            (
                "unset = ['hostname', 'log.rate']\n",
                "hostname",
                "\"5\"",
                "unset = [ 'log.rate']\nhostname = \"5\"\n",
            ),
            (
                "unset = ['hostname']\n",
                "hostname",
                "a b",
                "hostname = \"a b\"\n",
            ),
        ] {
            assert_eq!(
                with(text, key, value).as_deref(),
                Ok(want),
                "{key} = {value}"
            );
        }
        for (text, key, want) in [
            (
                "log = 1\n",
                "log.rate",
                "`log` is set to something else than a table",
            ),
            (
                "",
                "a b",
                "`a b` is not a key: write it as in `network.interfaces.eth0.addresses`",
            ),
        ] {
            assert_eq!(with(text, key, "1"), Err(want.to_owned()));
        }
    }

    #[test]
    fn a_key_is_taken_back() {
        for (text, key, elsewhere, want) in [
            ("hostname = 'a'\n", "hostname", false, ""),
            (
                "hostname = 'a'\n[log]\nrate = 1\n",
                "log.rate",
                false,
                "hostname = 'a'\n",
            ),
            (
                "hostname = 'a'\n",
                "log.rate",
                true,
                "hostname = 'a'\nunset = [\"log.rate\"]\n",
            ),
            (
                "unset = ['log.rate']\n",
                "log.rate",
                true,
                "unset = ['log.rate']\n",
            ),
            (
                "",
                "log",
                true,
                "# Set by `tare config`. It is stronger than user-data.\nunset = [\"log\"]\n",
            ),
        ] {
            assert_eq!(without(text, key, elsewhere).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn a_key_that_a_stronger_source_sets_too() {
        let source = |(name, text): (&str, &str)| Source {
            name: name.to_owned(),
            text: text.to_owned(),
        };
        let sources = [
            ("nocloud", "log.burst = 1"),
            ("local", "log.rate = 2"),
            ("once", "\nlog.rate = 3"),
            ("cmdline", "hostname = 'c'"),
        ];
        let known = Known {
            set: BTreeMap::new(),
            defaults: BTreeMap::new(),
            sources: sources.map(source).to_vec(),
            number: 1,
            services: BTreeMap::new(),
        };
        let told = |layer, text: &str, changes: &[&str]| {
            let applied = ApplyConfiguration {
                changes: changes.iter().map(ToString::to_string).collect(),
                number: 7,
                unconfirmed: (!changes.is_empty()).then_some(60),
            };
            let overridden = overridden(&known, layer, text);
            Told {
                applied,
                overridden,
            }
        };
        for (layer, text, changes, want) in [
            ("local", "log.burst = 5", &[][..], "nothing changes\n"),
            (
                "local",
                "log = { rate = 5, burst = 2 }",
                &["x: y"],
                "x: y\nlog.rate is set in local, but once:2 is stronger\n\
                 configuration 7 is taken back in 60 s unless `tare config confirm 7` comes before\n",
            ),
            (
                "local",
                "hostname = 'a'",
                &[],
                "hostname is set in local, but cmdline:1 is stronger\n",
            ),
            ("once", "log.rate = 5", &[], "nothing changes\n"),
            (
                "once",
                "hostname = 'a'",
                &[],
                "hostname is set in once, but cmdline:1 is stronger\n",
            ),
        ] {
            assert_eq!(told(layer, text, changes).text(), want, "{text}");
        }
    }
}
