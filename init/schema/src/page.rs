//! The reference: a section for each section of user-data, a line for each key.

use crate::toml::{lines, value};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use tare_config::schema::{Key, Step, keys, keyword};

const HEAD: &str = "\
# Reference

Every key of [user-data](user-data.md). This page and [`tare.schema.json`](tare.schema.json) are generated from the types in
`init/config/src` by `cargo schema`; changes to them are lost. Editors with taplo or tombi complete and check user-data whose
first line names the schema by its path or address:

```toml
#:schema ./tare.schema.json
```

";

/// The words before the table of keys that belong to no section.
const TOP: &str = "In TOML, these stand before the first section.";

type Schema = Map<String, Value>;

/// The reference of all keys in `schema`.
pub(crate) fn page(schema: &Value) -> String {
    let keys = keys(schema);
    let mut page = HEAD.to_owned() + &glossary(schema);
    let (top, others): (Vec<_>, Vec<_>) = keys.iter().partition(|key| key.steps.len() == 1);
    page += &format!(
        "## Without a section\n\n{TOP} {}\n\n{}",
        common(&top),
        rows(&top)
    );
    for section in others.chunk_by(|a, b| a.steps[0] == b.steps[0]) {
        page += &self::section(section);
    }
    page
}

/// What the words in the column of types mean.
fn glossary(schema: &Value) -> String {
    let words = schema[keyword::TYPES].as_object().into_iter().flatten();
    let lines = words.map(|(word, meaning)| format!("| {word} | {} |\n", text(meaning)));
    format!("| type | is |\n|---|---|\n{}\n", lines.collect::<String>())
}

fn section(keys: &[&Key<'_>]) -> String {
    let name = &keys[0].steps[0].name;
    let table = keys[0].tables[1];
    let examples = table.get("examples").and_then(Value::as_array);
    let examples: String = examples
        .into_iter()
        .flatten()
        .filter_map(Value::as_object)
        .map(|example| format!("```toml\n[{name}]\n{}\n```\n\n", lines(example).join("\n")))
        .collect();
    format!(
        "\n## {name}\n\n{} {}\n\n{examples}{}",
        meaning(table),
        common(keys),
        rows(keys)
    )
}

/// What holds for all of `keys`, in a sentence each; what does not is in their lines.
fn common(keys: &[&Key<'_>]) -> String {
    let said = |keyword| {
        let values: BTreeSet<&str> = keys.iter().map(|key| said(key.schema, keyword)).collect();
        values.first().copied().filter(|_| values.len() == 1)
    };
    let since = said(keyword::SINCE).map(|release| format!("Since {release}."));
    let apply = said(keyword::APPLY).map(|what| format!("A change {}.", effect(what)));
    let sentences: Vec<String> = since.into_iter().chain(apply).collect();
    sentences.join(" ")
}

/// What applying a change does, to follow "a change".
fn effect(what: &str) -> String {
    match what {
        "live" => "takes effect at once".to_owned(),
        "next boot" => "takes effect at the next boot".to_owned(),
        other => other.to_owned(),
    }
}

fn rows(keys: &[&Key<'_>]) -> String {
    let alike = common(keys);
    let mut rows =
        "| key | type | default | example | meaning |\n|---|---|---|---|---|\n".to_owned();
    let mut before: Vec<Step> = keys
        .first()
        .map(|key| key.steps[..1].to_vec())
        .unwrap_or_default();
    for key in keys {
        for depth in 2..key.steps.len() {
            if key.steps.get(..depth) != before.get(..depth) {
                rows += &table_row(key, depth);
            }
        }
        before.clone_from(&key.steps);
        rows += &row(key, &alike);
    }
    rows
}

/// The line of a table that contains `key`, unless there is nothing to say about it.
fn table_row(key: &Key<'_>, depth: usize) -> String {
    let schema = key.tables[depth];
    if !schema.contains_key("examples") && !schema.contains_key(keyword::SEE) {
        return String::new();
    }
    let table = Key {
        steps: key.steps[..depth].to_vec(),
        tables: Vec::new(),
        schema,
    };
    format!(
        "| `{table}` | table | | {} | {} |\n",
        examples(schema),
        cell(&meaning(schema))
    )
}

fn row(key: &Key<'_>, alike: &str) -> String {
    let schema = key.schema;
    let mut meaning = meaning(schema);
    let since = format!("Since {}.", said(schema, keyword::SINCE));
    let apply = format!("A change {}.", effect(said(schema, keyword::APPLY)));
    for sentence in [since, apply] {
        if !alike.contains(&sentence) {
            meaning += &format!(" {sentence}");
        }
    }
    if schema.contains_key(keyword::SECRET) {
        meaning += " `tare config` shows it as `***`.";
    }
    format!(
        "| `{key}` | {} | {} | {} | {} |\n",
        cell(&kind(schema)),
        default(schema),
        examples(schema),
        cell(&meaning)
    )
}

/// The type of a value, with its range.
fn kind(schema: &Schema) -> String {
    let words = said(schema, keyword::TYPE);
    if !words.is_empty() {
        return words.to_owned();
    }
    let values: Vec<String> = choices(schema).map(|(value, _)| code(&value)).collect();
    if !values.is_empty() {
        return values.join(", ");
    }
    match said(schema, "type") {
        "integer" => match (schema.get("minimum"), schema.get("maximum")) {
            (Some(least), Some(most)) => format!("{least}..={most}"),
            _ => "whole number".to_owned(),
        },
        "array" => "list".to_owned(),
        "object" => "table".to_owned(),
        other => other.to_owned(),
    }
}

/// The values that are accepted, each with what it means.
fn choices(schema: &Schema) -> impl Iterator<Item = (String, &str)> {
    let branches = schema.get("oneOf").and_then(Value::as_array);
    let branches = branches.into_iter().flatten().filter_map(Value::as_object);
    std::iter::once(schema).chain(branches).flat_map(|branch| {
        let values = branch.get("enum").and_then(Value::as_array);
        let values = values.into_iter().flatten();
        values.map(|accepted| (value(accepted), said(branch, "description")))
    })
}

fn default(schema: &Schema) -> String {
    let words = said(schema, keyword::DEFAULT);
    let Some(default) = schema.get("default") else {
        return cell(words);
    };
    let default = code(&value(default));
    match words.is_empty() {
        true => default,
        false => format!("{default}, {}", cell(words)),
    }
}

fn examples(schema: &Schema) -> String {
    let examples = schema.get("examples").and_then(Value::as_array);
    let examples = examples
        .into_iter()
        .flatten()
        .map(|example| code(&value(example)));
    examples.collect::<Vec<_>>().join(" or ")
}

fn meaning(schema: &Schema) -> String {
    let mut meaning = said(schema, "description").to_owned();
    if schema.contains_key("oneOf") {
        for (value, what) in choices(schema) {
            meaning += &format!(" `{value}`: {what}");
        }
    }
    match said(schema, keyword::SEE) {
        "" => meaning,
        page => format!("{meaning} [More]({page})."),
    }
}

fn said<'s>(schema: &'s Schema, keyword: &str) -> &'s str {
    schema.get(keyword).map(text).unwrap_or_default()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn code(text: &str) -> String {
    cell(&match text.contains('`') {
        true => format!("`` {text} ``"),
        false => format!("`{text}`"),
    })
}

/// `text` in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
