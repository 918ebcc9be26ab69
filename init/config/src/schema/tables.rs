//! Tables whose keys users choose.

use super::keyword;
use super::secrets::or_reference;
use super::texts::{FILE, FOLDERS, HOST, NO_NUL, name, user_name};
use crate::machine::{
    App, Disk, File, Interface, Job, Registries, Registry, SYSTEM_NAMES, User, Users,
};
use crate::{MAX_ARGUMENT, Override};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;
use std::borrow::Cow;

/// A table with a `T` under each key that matches `pattern`, shown as `name`.
fn named<T: JsonSchema>(
    generator: &mut SchemaGenerator,
    pattern: &str,
    name: &str,
    example: &str,
) -> Schema {
    let inner = shown_as(generator.subschema_for::<T>(), name, example);
    json_schema!({
        "type": "object",
        "patternProperties": { pattern: inner },
        "additionalProperties": false,
    })
}

fn shown_as(mut schema: Schema, name: &str, example: &str) -> Schema {
    schema.insert(keyword::NAME.to_owned(), json!(name));
    schema.insert(keyword::NAME_EXAMPLE.to_owned(), json!(example));
    schema
}

/// `[network.interfaces]`. The kernel counts bytes of a name, the pattern letters.
pub(crate) fn interfaces(generator: &mut SchemaGenerator) -> Schema {
    let pattern = r"^([^\s/:.][^\s/:]{0,14}|\.[^\s/:.][^\s/:]{0,13}|\.\.[^\s/:]{1,13})$";
    named::<Interface>(generator, pattern, "NAME", "eth0")
}

/// `[services]`. Which services there are is the image's matter.
pub(crate) fn services(generator: &mut SchemaGenerator) -> Schema {
    let inner = shown_as(generator.subschema_for::<Override>(), "NAME", "trim");
    json_schema!({ "type": "object", "additionalProperties": inner })
}

/// `[apps]`.
pub(crate) fn apps(generator: &mut SchemaGenerator) -> Schema {
    named::<App>(generator, &name(), "NAME", "shop")
}

/// `[disks]`.
pub(crate) fn disks(generator: &mut SchemaGenerator) -> Schema {
    named::<Disk>(generator, &name(), "NAME", "data")
}

/// `[jobs]`.
pub(crate) fn jobs(generator: &mut SchemaGenerator) -> Schema {
    named::<Job>(generator, &name(), "NAME", "backup")
}

/// `[files]`. That a name has 255 bytes at most, only the reader says.
pub(crate) fn files(generator: &mut SchemaGenerator) -> Schema {
    named::<File>(generator, FILE, "PATH", "/srv/shop/settings.ini")
}

/// `[services.NAME.environment]`.
pub(crate) fn environment(_: &mut SchemaGenerator) -> Schema {
    let mut schema = variable();
    schema.insert("examples".to_owned(), json!(["http://proxy.example:3128"]));
    variables(schema)
}

/// `[jobs.NAME.environment]`.
pub(crate) fn environment_or_references(_: &mut SchemaGenerator) -> Schema {
    let mut schema = or_reference("string", &variable().to_value());
    let examples = json!(["http://proxy.example:3128", { "credential": "backup-password" }]);
    schema.insert("examples".to_owned(), examples);
    variables(schema)
}

/// What the value of a variable is.
fn variable() -> Schema {
    json_schema!({ "type": "string", "pattern": NO_NUL, "maxLength": MAX_ARGUMENT - 3 })
}

/// Variables, each of which is as `variable` says.
fn variables(mut variable: Schema) -> Schema {
    for (keyword, text) in [
        (
            "description",
            "A variable that is added to those of the image, or replaces one of them.",
        ),
        (keyword::DEFAULT, "the image's"),
        (keyword::NAME, "VARIABLE"),
        (keyword::NAME_EXAMPLE, "HTTPS_PROXY"),
    ] {
        variable.insert(keyword.to_owned(), json!(text));
    }
    json_schema!({
        "type": "object",
        "patternProperties": { "^[^=\\x00]+$": variable },
        "additionalProperties": false,
    })
}

/// Names of the system are no names of users.
impl JsonSchema for Users {
    fn schema_name() -> Cow<'static, str> {
        "Users".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = named::<User>(generator, user_name(), "NAME", "alice");
        let has = |name| json!({ "required": [name] });
        let names: Vec<_> = SYSTEM_NAMES.into_iter().map(has).collect();
        schema.insert("not".to_owned(), json!({ "anyOf": names }));
        schema
    }
}

impl JsonSchema for App {
    fn schema_name() -> Cow<'static, str> {
        "App".into()
    }

    /// What is beside `services` is Compose's, which judges it when the app starts.
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An app: a Compose specification in TOML, or `compose` alone, or `compose-file` alone.",
            (keyword::SEE): "user-data.md#apps",
            "type": "object",
            "properties": {
                "services": {
                    "description": "The services of the Compose specification. Its other keys (`volumes`, `networks`, …) stand \
                        beside it.",
                    "additionalProperties": true,
                    (keyword::TYPE): "table",
                    (keyword::DEFAULT): "none",
                    "examples": [{ "web": { "image": "nginx", "ports": ["80:80"] } }],
                },
                "compose": {
                    "description": "The YAML text of a Compose specification.",
                    "type": "string",
                    (keyword::DEFAULT): "none",
                    "examples": ["services: { web: { image: nginx } }"],
                },
                "compose-file": {
                    "description": "The path of a Compose file, below `/data`, `/home`, `/mnt`, `/opt` or `/srv`. The user `apps` \
                        reads it and what is beside it.",
                    "type": "string",
                    "pattern": FOLDERS,
                    (keyword::TYPE): "path",
                    (keyword::DEFAULT): "none",
                    "examples": ["/srv/shop/compose.yaml"],
                },
            },
            "oneOf": [
                { "required": ["services"], "not": { "anyOf": [
                    { "required": ["compose"] }, { "required": ["compose-file"] }] } },
                { "required": ["compose"], "maxProperties": 1 },
                { "required": ["compose-file"], "maxProperties": 1 },
            ],
        })
    }
}

/// Docker Hub is reached otherwise than all others. What changes nothing is accepted of either.
impl JsonSchema for Registries {
    fn schema_name() -> Cow<'static, str> {
        "Registries".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let registry = generator.subschema_for::<Registry>().to_value();
        let (mut hub, mut other) = (registry.clone(), registry);
        if let Some(keys) = hub["properties"].as_object_mut() {
            keys.remove("ca");
        }
        hub["description"] =
            json!("Docker Hub. The CA of a mirror belongs to the mirror's own section.");
        hub["properties"]["insecure"] = json!({
            "description": "Docker Hub is always reached by TLS.",
            "enum": [false],
            "default": false,
            "examples": [false],
        });
        other["properties"]["mirrors"] = json!({
            "description": "Only `docker.io` has mirrors. For other registries, run a pull-through cache and write its name in that \
                of the image: `CACHE/NAME` instead of `REGISTRY/NAME`.",
            "type": "array",
            "maxItems": 0,
            (keyword::TYPE): "empty list",
            "default": [],
            "examples": [[]],
        });
        let other = Schema::try_from(other).unwrap_or_default();
        json_schema!({
            "type": "object",
            "properties": { "docker.io": hub },
            "additionalProperties": shown_as(other, "HOST[:PORT]", "registry.example:5000"),
            "allOf": [{ "patternProperties": { HOST: {} }, "additionalProperties": false }],
        })
    }
}
