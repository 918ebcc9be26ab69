//! `config.json`: the spec as bytes.

use oci_spec::runtime::Spec;
use serde_json::Value;

/// The `config.json` of `spec`: one line, the same bytes for the same spec.
///
/// # Errors
/// Never for a spec made by [`crate::compile`]. A path that is not UTF-8 would be an error.
pub fn to_json(spec: &Spec) -> Result<String, serde_json::Error> {
    let mut json = serde_json::to_value(spec)?;
    if let Some(Value::Object(sets)) = json.pointer_mut("/process/capabilities") {
        sets.values_mut().for_each(sort);
    }
    serde_json::to_string(&json)
}

/// oci-spec keeps capabilities in hash sets, whose order changes from run to run.
fn sort(set: &mut Value) {
    if let Value::Array(names) = set {
        names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}
