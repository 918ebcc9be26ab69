//! Old names of keys.

use crate::{Moved, Now};
use serde_json::{Value, json};

/// Adds the old names of renamed keys to `schema`: editors accept them as long as the reader does, and say the new ones.
pub(super) fn add(schema: &mut Value, moved: &[Moved]) {
    for Moved { from, since, now } in moved {
        let (Now::Renamed(to), Some((name, table))) = (now, from.split_last()) else {
            continue;
        };
        let Some(mut old) = at(schema, to).cloned() else {
            continue;
        };
        let meaning = format!(
            "Called `{}` since {since}. This name works, with a warning.",
            to.join(".")
        );
        old["description"] = json!(meaning);
        old["deprecated"] = json!(true);
        if let Some(table) = at(schema, table) {
            table["properties"][*name] = old;
        }
    }
}

/// The schema at `path`, in which `*` is a key that users choose.
fn at<'s>(schema: &'s mut Value, path: &[&str]) -> Option<&'s mut Value> {
    path.iter().try_fold(schema, |table, step| {
        if *step != "*" {
            return table.get_mut("properties")?.get_mut(step);
        }
        match table.get("patternProperties").is_some() {
            true => table["patternProperties"]
                .as_object_mut()?
                .values_mut()
                .next(),
            false => table.get_mut("additionalProperties"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{keys, schema};

    #[test]
    fn an_old_name_is_deprecated() {
        let mut schema = schema();
        let moved = |from, to| Moved {
            from,
            since: "0.2",
            now: Now::Renamed(to),
        };
        add(
            &mut schema,
            &[
                moved(&["log", "size"], &["log", "total"]),
                moved(
                    &["network", "interfaces", "*", "ip"],
                    &["network", "interfaces", "*", "addresses"],
                ),
                moved(&["greeting"], &["motd"]),
            ],
        );
        let keys = keys(&schema);
        for (old, new) in [
            ("log.size", "log.total"),
            (
                "network.interfaces.NAME.ip",
                "network.interfaces.NAME.addresses",
            ),
            ("greeting", "motd"),
        ] {
            let schema = |name: &str| {
                keys.iter()
                    .find(|key| key.to_string() == name)
                    .unwrap()
                    .schema
            };
            let (old, name) = (schema(old), new.replace("NAME", "*"));
            let mut want = schema(new).clone();
            let meaning = format!("Called `{name}` since 0.2. This name works, with a warning.");
            want.insert("description".to_owned(), json!(meaning));
            want.insert("deprecated".to_owned(), json!(true));
            assert_eq!(*old, want);
        }
    }
}
