//! What the reader and the schema say about a text.

use boon::{Compiler, Draft, SchemaIndex, Schemas};
use serde_json::{Map, Value, json};
use tare_config::service::Services;
use tare_config::{Severity, schema, validate};

/// The schema, as validators of two drafts understand it: that of tombi, and that of taplo.
pub(super) struct Validator {
    schemas: Schemas,
    drafts: [SchemaIndex; 2],
}

impl Validator {
    pub(super) fn new() -> Self {
        let mut schemas = Schemas::new();
        let drafts = [Draft::V7, Draft::V4].map(|draft| {
            let mut compiler = Compiler::new();
            let mut schema = schema::schema();
            schema.as_object_mut().unwrap().remove("$schema");
            compiler.set_default_draft(draft);
            compiler.add_resource("tare.json", schema).unwrap();
            compiler.compile("tare.json", &mut schemas).unwrap()
        });
        Self { schemas, drafts }
    }

    /// What is wrong with the TOML `text` by the schema.
    pub(super) fn error(&self, text: &str) -> Option<String> {
        let table: ::toml::Table = text.parse().unwrap();
        let value = json_of(::toml::Value::Table(table));
        let errors = self
            .drafts
            .map(|draft| self.schemas.validate(&value, draft).err());
        assert_eq!(errors[0].is_some(), errors[1].is_some(), "{text}");
        let [error, _] = errors;
        error.map(|error| format!("{error:#}"))
    }
}

/// The services of the image, as far as it matters here.
const SERVICES: [(&str, &str); 3] = [
    ("engine", "sandbox = { host-namespaces = ['network'] }"),
    ("ssh", "sandbox = { host-namespaces = ['network'] }"),
    (
        "trim",
        "sandbox = { host-namespaces = ['network'] }\nlifecycle = { kind = 'periodic', schedule = 'weekly' }",
    ),
];

/// What is wrong with `text` by the reader.
pub(super) fn problems(text: &str) -> Vec<String> {
    let service = |(name, text): (&str, &str)| {
        let text = format!("description = 'x'\nprocess = {{ args = ['/x'] }}\n{text}");
        let service = tare_config::parse(name, text.as_bytes()).unwrap();
        (name.to_owned(), service)
    };
    let image: Services = SERVICES.into_iter().map(service).collect();
    let problems = validate("u", text.as_bytes(), &image);
    let errors = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

/// As editors see TOML: a date is text.
fn json_of(value: ::toml::Value) -> Value {
    match value {
        ::toml::Value::Table(table) => {
            let entries = table.into_iter().map(|(key, value)| (key, json_of(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
        ::toml::Value::Array(values) => values.into_iter().map(json_of).collect(),
        ::toml::Value::Datetime(date) => json!(date.to_string()),
        ::toml::Value::Float(number) => json!(number),
        ::toml::Value::Integer(number) => json!(number),
        ::toml::Value::Boolean(on) => json!(on),
        ::toml::Value::String(text) => json!(text),
    }
}
