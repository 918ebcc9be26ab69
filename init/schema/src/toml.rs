//! Values as TOML writes them on one line.

use serde_json::{Map, Value};

/// `value` in TOML, on one line. Null, which TOML does not have, is an empty text.
pub(crate) fn value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(self::value).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(table) if table.is_empty() => "{}".to_owned(),
        Value::Object(table) => format!("{{ {} }}", lines(table).join(", ")),
        // Numbers, booleans and strings are written as in JSON.
        plain => plain.to_string(),
    }
}

/// The lines of `table`, by key.
pub(crate) fn lines(table: &Map<String, Value>) -> Vec<String> {
    let line = |(name, inner): (&String, &Value)| format!("{} = {}", key(name), value(inner));
    table.iter().map(line).collect()
}

/// A part of a key.
fn key(name: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match !name.is_empty() && name.chars().all(is_bare) {
        true => name.to_owned(),
        false => Value::from(name).to_string(),
    }
}
