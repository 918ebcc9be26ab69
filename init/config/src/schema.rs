//! The JSON Schema of user-data: what the types of this crate accept, so that editors complete and check it.
//!
//! It is Draft 7 within what Draft 4 knows, because taplo knows no more. Keywords of our own are in [`keyword`]. What
//! only the reader can judge (a key that depends on a number of another, names of services) the schema accepts.

mod engine;
mod keys;
pub mod keyword;
mod moved;
mod secrets;
mod sysctl;
mod tables;
pub(crate) mod texts;

pub use keys::{Key, Step, keys};
pub(crate) use tables::{
    apps, disks, environment, environment_or_references, files, interfaces, jobs, services,
};
pub(crate) use texts::{addresses, args, gateway, memory_max, positive, socket_address, texts};

use crate::Machine;
use crate::layers::is_secret_key;
use schemars::Schema;
use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use serde_json::{Map, Value, json};

/// The release in which a key was added, unless its attributes say otherwise ([`keyword::SINCE`]).
const SINCE: &str = "0.1";

/// What applying a change of a key does, unless its attributes say otherwise ([`keyword::APPLY`]): services that read it
/// when they start are restarted.
const APPLY: &str = "live";

/// The JSON Schema of user-data.
#[must_use]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut generator = settings.into_generator();
    generator
        .definitions_mut()
        .insert(sysctl::SETTING.to_owned(), sysctl::setting());
    let mut schema = generator.into_root_schema_for::<Machine>();
    tidy(&mut schema);
    schema.insert("title".to_owned(), json!("User-data of Tare"));
    schema.insert(keyword::TYPES.to_owned(), texts::glossary());
    let mut schema = schema.to_value();
    keys::each_leaf(&mut schema, &[], &mut |path, leaf| {
        for (keyword, value) in [(keyword::SINCE, SINCE), (keyword::APPLY, APPLY)] {
            leaf.entry(keyword).or_insert_with(|| json!(value));
        }
        if is_secret_key(path) {
            leaf.insert(keyword::SECRET.to_owned(), json!(true));
        }
    });
    moved::add(&mut schema, crate::MOVED);
    schema
}

/// Makes of what schemars writes about Rust's types what TOML and Draft 4 know.
fn tidy(schema: &mut Schema) {
    transform_subschemas(&mut tidy, schema);
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    without_null(object);
    open(object);
    if let Some(value) = object.remove("const") {
        object.insert("enum".to_owned(), json!([value]));
    }
    if let Some(Value::String(text)) = object.get_mut("description") {
        *text = text.replace('\n', " ");
    }
    if let Some(most) = object.get("format").and_then(greatest) {
        object.entry("maximum").or_insert_with(|| json!(most));
        object.remove("format");
    }
    let is_empty = object
        .get("default")
        .is_some_and(|value| value.is_null() || (value == &json!([])));
    if is_empty && object.contains_key(keyword::DEFAULT)
        || object.get("default") == Some(&Value::Null)
    {
        object.remove("default");
    }
}

/// Says of a table that is not closed that it is open: tombi takes one that says nothing for closed.
fn open(object: &mut Map<String, Value>) {
    let is_typed = match object.get("type") {
        Some(Value::Array(types)) => types.contains(&json!("object")),
        name => name == Some(&json!("object")),
    };
    let has_keys = ["properties", "patternProperties"]
        .iter()
        .any(|keyword| object.contains_key(*keyword));
    if is_typed || has_keys {
        object.entry("additionalProperties").or_insert(json!(true));
    }
}

/// TOML has no null: an absent key is absent.
fn without_null(object: &mut Map<String, Value>) {
    let is_null = |value: &Value| value == "null" || value == &json!({"type": "null"});
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|name| !is_null(name));
        if let [name] = &types[..] {
            let name = name.clone();
            object.insert("type".to_owned(), name);
        }
    }
    if let Some(Value::Array(values)) = object.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    let Some(Value::Array(choices)) = object.get_mut("anyOf") else {
        return;
    };
    choices.retain(|choice| !is_null(choice));
    if let [Value::Object(only)] = &choices[..] {
        let only = only.clone();
        object.remove("anyOf");
        for (keyword, value) in only {
            object.entry(keyword).or_insert(value);
        }
    }
}

/// The greatest number of one of Rust's types, by schemars' name for it.
fn greatest(format: &Value) -> Option<u32> {
    match format.as_str() {
        Some("uint16") => Some(u16::MAX.into()),
        Some("uint32") => Some(u32::MAX),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words for what is secret.
    const WORDS: [&str; 5] = ["credential", "password", "private key", "secret", "token"];

    /// Whether a name or a description says that its key is secret. What it says of other keys is in backticks.
    fn says_so(key: &Key<'_>) -> bool {
        let said = key.schema["description"].as_str().unwrap_or_default();
        let said: Vec<&str> = said.split('`').step_by(2).collect();
        let name = key.steps.last().map_or("", |step| &step.name);
        let said = format!("{name} {}", said.concat()).to_lowercase();
        WORDS.iter().any(|word| said.contains(word))
    }

    #[test]
    fn secret_keys_are_marked() {
        let schema = schema();
        let keys = keys(&schema);
        let is_marked = |key: &&Key<'_>| key.schema.contains_key(keyword::SECRET);
        let marked: Vec<String> = keys.iter().filter(is_marked).map(Key::to_string).collect();
        assert_eq!(
            marked,
            [
                "apps.NAME.compose",
                "engine.tlskey",
                "files.\"PATH\".base64",
                "files.\"PATH\".text",
                "jobs.NAME.environment.VARIABLE",
                "registries.\"docker.io\".password",
                "registries.\"HOST[:PORT]\".password",
                "services.NAME.environment.VARIABLE",
            ]
        );
        for key in keys.iter().filter(|key| says_so(key)) {
            assert!(is_marked(&key), "{key} is shown");
        }
    }
}
