//! Secrets: texts, or references to them.

use super::keyword;
use super::texts::FILE;
use crate::machine::{Base64, CredentialName, Secret};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;

/// What `text` accepts, shown as `words`, or a reference.
pub(super) fn or_reference(words: &str, text: &Value) -> Schema {
    let table = |key: &str, value: Value| {
        json!({
            "type": "object",
            "properties": { key: value },
            "required": [key],
            "additionalProperties": false,
        })
    };
    let name = json!({
        "type": "string",
        "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]*$",
        "maxLength": CredentialName::MAX,
    });
    let path = json!({ "type": "string", "pattern": FILE });
    json_schema!({
        "oneOf": [text, table("credential", name), table("file", path)],
        (keyword::TYPE): format!("{words}, or a reference"),
    })
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        or_reference("string", &json!({ "type": "string" }))
    }
}

impl JsonSchema for Base64 {
    fn schema_name() -> Cow<'static, str> {
        "Base64".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let text = json!({ "type": "string", "pattern": r"^[A-Za-z0-9+/=\s]*$" });
        or_reference("base64", &text)
    }
}
