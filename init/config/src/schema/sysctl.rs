//! `[sysctl]`: names of settings in both spellings, as one key or as tables in tables.

use super::keyword;
use crate::machine::{FIXED_SETTINGS, LEAST_MAPS, Sysctl};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;

/// The name of [`setting`] among the definitions.
pub(super) const SETTING: &str = "setting";

/// A part of a name, without the dots between the parts.
const PART: &str = "[A-Za-z0-9_-][A-Za-z0-9_/-]*";

/// A value, or a table of further parts of the name.
pub(super) fn setting() -> Value {
    json!({
        "type": ["boolean", "integer", "string", "object"],
        "pattern": r"^[^\n\x00]*$",
        "patternProperties": { (format!(r"^{PART}(\.{PART})*$")): reference() },
        "additionalProperties": false,
    })
}

fn reference() -> Value {
    json!({ "$ref": format!("#/definitions/{SETTING}") })
}

impl JsonSchema for Sysctl {
    fn schema_name() -> Cow<'static, str> {
        "Sysctl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // `net/ipv4/conf/eth0.1/forwarding`: a dot belongs to a part.
        let slashes = "[A-Za-z0-9_-]+(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+";
        let dots = format!(r"[A-Za-z0-9_-]+(\.{PART})*");
        json_schema!({
            "type": "object",
            "patternProperties": {
                format!("^({dots}|{slashes})$"): {
                    "description": "A setting below `/proc/sys`, with its name as for sysctl(8): `vm.swappiness = 10`, \
                        `\"vm.swappiness\" = 10` and `\"vm/swappiness\" = 10` mean the same. Those by which the machine keeps itself \
                        safe are fixed.",
                    (keyword::SEE): "docker.md#settings-of-the-kernel",
                    (keyword::TYPE): "whole number, boolean or a line of text",
                    (keyword::DEFAULT): "the kernel's, or the machine's own",
                    (keyword::NAME): "NAME",
                    (keyword::NAME_EXAMPLE): "vm.overcommit_memory",
                    "examples": [1],
                    "allOf": [reference()],
                },
            },
            "additionalProperties": false,
            "allOf": [
                // A setting has a name of two parts at least.
                { "patternProperties": { "^[A-Za-z0-9_-]+$": { "type": "object" } } },
                restrictions(""),
            ],
        })
    }
}

/// What is not accepted below `prefix`, the beginning of a name: empty, or with a dot at its end.
fn restrictions(prefix: &str) -> Value {
    let (mut keys, mut patterns) = (Map::new(), Map::new());
    let mut refuse = |fixed: &str, what: Value| {
        let is_beginning = fixed.ends_with(['.', '_']);
        let end = if is_beginning { "" } else { "$" };
        let dots = fixed.replace('.', r"\.");
        patterns.insert(format!("^{dots}{end}"), what.clone());
        if prefix.is_empty() {
            patterns.insert(format!("^{}{end}", fixed.replace('.', "/")), what);
        }
    };
    for (name, what) in rules() {
        let Some(rest) = name.strip_prefix(prefix) else {
            continue;
        };
        refuse(rest, what);
        for (dot, _) in rest.match_indices('.') {
            let part = &rest[..dot];
            let inner = format!("{prefix}{part}.");
            // All of the table may be fixed.
            let whole = rules().find(|(name, _)| *name == inner);
            let inner = whole.map_or_else(|| restrictions(&inner), |(_, what)| what);
            keys.insert(part.to_owned(), inner);
        }
    }
    json!({ "properties": keys, "patternProperties": patterns })
}

/// Settings, or the beginnings of their names, and what may still be written there. A table makes the name a longer one.
fn rules() -> impl Iterator<Item = (&'static str, Value)> {
    let table = json!({ "type": "object" });
    let empty = json!({ "type": "object", "maxProperties": 0 });
    let fixed = FIXED_SETTINGS.into_iter().map(move |name| {
        let is_beginning = name.ends_with(['.', '_']);
        (
            name,
            if is_beginning {
                empty.clone()
            } else {
                table.clone()
            },
        )
    });
    let switch =
        json!({ "anyOf": [{ "enum": [0, 1, false, true, "0", "1"] }, { "type": "object" }] });
    let maps = json!({ "minimum": LEAST_MAPS, "not": { "type": "boolean" } });
    fixed.chain([
        ("vm.overcommit_memory", switch.clone()),
        ("vm.memfd_noexec", switch),
        ("vm.max_map_count", maps),
    ])
}
