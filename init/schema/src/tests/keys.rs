//! Every key of the schema.

use super::verdict::{Validator, problems};
use crate::toml::value;
use serde_json::{Map, Value, json};
use tare_config::schema::{Key, keys, keyword, schema};

/// Keywords that Draft 4 knows, and those that are for people: `deprecated`, `examples`.
const KEYWORDS: [&str; 28] = [
    "$ref",
    "$schema",
    "additionalItems",
    "additionalProperties",
    "allOf",
    "anyOf",
    "default",
    "definitions",
    "dependencies",
    "deprecated",
    "description",
    "enum",
    "examples",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minimum",
    "not",
    "oneOf",
    "pattern",
    "patternProperties",
    "properties",
    "required",
    "title",
    "type",
];

#[test]
fn each_key_says_what_a_reader_needs() {
    let schema = schema();
    let keys = keys(&schema);
    assert!(keys.len() > 100, "{} keys", keys.len());
    for key in &keys {
        assert_eq!(lacks(key.schema), [""; 0], "{key}");
    }
}

/// What the schema of a key does not say.
fn lacks(schema: &Map<String, Value>) -> Vec<&'static str> {
    let text = |keyword: &str| {
        schema
            .get(keyword)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let is_example = |examples: &Value| examples.as_array().is_some_and(|some| !some.is_empty());
    let is_release = |text: &str| {
        text.split('.')
            .filter(|part| part.parse::<u8>().is_ok())
            .count()
            == 2
    };
    let is_apply = |text: &str| {
        let service = text.strip_prefix("restarts ");
        ["live", "next boot"].contains(&text) || service.is_some_and(|name| !name.is_empty())
    };
    let said = [
        ("description", text("description").ends_with('.')),
        (
            "a default",
            schema.contains_key("default") || !text(keyword::DEFAULT).is_empty(),
        ),
        ("an example", schema.get("examples").is_some_and(is_example)),
        ("its release", is_release(text(keyword::SINCE))),
        ("what a change does", is_apply(text(keyword::APPLY))),
    ];
    said.into_iter()
        .filter(|(_, said)| !said)
        .map(|(what, _)| what)
        .collect()
}

#[test]
fn a_key_that_says_too_little_is_found() {
    let full = json!({
        "description": "A key.", "default": 1, "examples": [2], "x-tare-since": "0.1", "x-tare-apply": "restarts log",
    });
    for (keyword, value, want) in [
        ("description", json!(null), vec!["description"]),
        ("default", json!(1), vec![]),
        ("examples", json!([]), vec!["an example"]),
        ("x-tare-since", json!("new"), vec!["its release"]),
        (
            "x-tare-apply",
            json!("restarts "),
            vec!["what a change does"],
        ),
    ] {
        let mut schema = full.as_object().unwrap().clone();
        schema.insert(keyword.to_owned(), value);
        assert_eq!(lacks(&schema), want, "{keyword}");
    }
}

#[test]
fn the_schema_has_keywords_of_draft_4_alone_and_closed_tables() {
    let schema = schema();
    check_keywords("", schema.as_object().unwrap());
}

fn check_keywords(at: &str, schema: &Map<String, Value>) {
    for (keyword, value) in schema {
        assert!(
            KEYWORDS.contains(&keyword.as_str()) || keyword.starts_with("x-tare-"),
            "{at}: {keyword}"
        );
        let inner: Vec<(String, &Value)> = match (keyword.as_str(), value) {
            ("properties" | "patternProperties" | "definitions", Value::Object(schemas)) => schemas
                .iter()
                .map(|(key, schema)| (format!("{at}.{key}"), schema))
                .collect(),
            ("allOf" | "anyOf" | "oneOf" | "items", Value::Array(schemas)) => schemas
                .iter()
                .map(|schema| (format!("{at}/{keyword}"), schema))
                .collect(),
            ("items" | "additionalItems" | "additionalProperties" | "not", schema) => {
                vec![(format!("{at}/{keyword}"), schema)]
            }
            _ => Vec::new(),
        };
        for (at, schema) in inner {
            let no_more = at.ends_with("additionalProperties") && schema.is_boolean();
            assert!(schema.is_object() || no_more, "{at}: {schema}");
            schema
                .as_object()
                .into_iter()
                .for_each(|schema| check_keywords(&at, schema));
        }
    }
    let is_table =
        schema.get("type") == Some(&json!("object")) && schema.contains_key("properties");
    let is_open = [None, Some(&json!(true))].contains(&schema.get("additionalProperties"));
    // What else is in an app is Compose's.
    assert_eq!(
        is_table && is_open,
        at.starts_with(".apps.") && is_table,
        "{at}"
    );
}

/// `value` at `steps` of `table`.
fn put(table: &mut Map<String, Value>, steps: &[&str], value: &Value) {
    match steps {
        [] => {}
        [last] => {
            table.insert((*last).to_owned(), value.clone());
        }
        [first, rest @ ..] => {
            let inner = table.entry(*first).or_insert_with(|| json!({}));
            if let Some(inner) = inner.as_object_mut() {
                put(inner, rest, value);
            }
        }
    }
}

/// User-data with `value` at `key`: alone, and in each example of the tables that it is in.
fn texts(key: &Key<'_>, value: &Value) -> Vec<String> {
    let steps: Vec<&str> = key.steps.iter().map(|step| step.example.as_str()).collect();
    let mut texts = Vec::new();
    for (depth, table) in key.tables.iter().enumerate() {
        let examples = table.get("examples").and_then(Value::as_array);
        let examples = examples.into_iter().flatten().filter_map(Value::as_object);
        for example in examples.chain(std::iter::once(&Map::new())) {
            let mut inner = example.clone();
            put(&mut inner, &steps[depth..], value);
            let mut root = Map::new();
            match depth {
                0 => root = inner,
                _ => put(&mut root, &steps[..depth], &Value::Object(inner)),
            }
            texts.push(lines(&root));
        }
    }
    texts
}

fn lines(root: &Map<String, Value>) -> String {
    let lines = root
        .iter()
        .map(|(name, section)| format!("{name} = {}\n", value(section)));
    lines.collect()
}

#[test]
fn the_reader_and_the_schema_accept_each_example_and_default() {
    let validator = Validator::new();
    let schema = schema();
    for key in keys(&schema) {
        let examples = key.schema["examples"].as_array().unwrap();
        for value in examples.iter().chain(key.schema.get("default")) {
            let texts = texts(&key, value);
            let accepted = |text: &&String| problems(text).is_empty();
            let text = texts.iter().find(accepted);
            let text =
                text.unwrap_or_else(|| panic!("{key}: {:?} of {}", problems(&texts[0]), texts[0]));
            assert_eq!(validator.error(text), None, "{text}");
        }
    }
}

#[test]
fn the_reader_and_the_schema_accept_the_examples_of_tables() {
    let validator = Validator::new();
    let schema = schema();
    for key in keys(&schema) {
        let steps: Vec<&str> = key.steps.iter().map(|step| step.example.as_str()).collect();
        for (depth, table) in key.tables.iter().enumerate().skip(1) {
            let examples = table.get("examples").and_then(Value::as_array);
            for example in examples.into_iter().flatten() {
                let mut root = Map::new();
                put(&mut root, &steps[..depth], example);
                let text = lines(&root);
                assert_eq!(problems(&text), [""; 0], "{text}");
                assert_eq!(validator.error(&text), None, "{text}");
            }
        }
    }
}
