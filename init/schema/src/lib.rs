//! Two files for those who write user-data: the reference of every key, and a JSON Schema by which editors complete and
//! check it. Both come from the types of `tare-config`.

#![forbid(unsafe_code)]

mod page;
#[cfg(test)]
mod tests;
mod toml;

use serde_json::Value;
use std::path::{Path, PathBuf};

/// A file to write, and what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Where it is.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// The files as the types in `tare-config` have them now.
#[must_use]
pub fn files() -> [File; 2] {
    let schema = tare_config::schema::schema();
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    [
        File {
            path: docs.join("reference.md"),
            text: page::page(&schema),
        },
        File {
            path: docs.join("tare.schema.json"),
            text: json(&schema),
        },
    ]
}

fn json(schema: &Value) -> String {
    format!("{schema:#}\n")
}
