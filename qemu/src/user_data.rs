//! Adds a key to existing user-data.

use anyhow::{Context, Result};
use toml_edit::{Array, DocumentMut, Item, Value};

/// The list in user-data that grants login.
const KEYS: &str = "ssh-authorized-keys";

/// `user_data` with `public_key` added to its ssh keys, otherwise unchanged.
///
/// # Errors
/// The text is not TOML, or its keys are not a list.
pub fn with_key(user_data: &str, public_key: &str) -> Result<String> {
    let mut document: DocumentMut = user_data.parse().context("user-data")?;
    let keys = document
        .entry(KEYS)
        .or_insert_with(|| Item::Value(Value::Array(Array::new())));
    keys.as_array_mut()
        .with_context(|| format!("user-data: {KEYS} is not a list"))?
        .push(public_key);
    Ok(document.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_added() {
        for (user_data, want) in [
            ("", "ssh-authorized-keys = [\"K\"]\n"),
            (
                "hostname = 'a' # why\n",
                "hostname = 'a' # why\nssh-authorized-keys = [\"K\"]\n",
            ),
            (
                "[time]\nservers = []\n",
                "ssh-authorized-keys = [\"K\"]\n[time]\nservers = []\n",
            ),
            (
                "ssh-authorized-keys = ['A']\n",
                "ssh-authorized-keys = ['A', \"K\"]\n",
            ),
        ] {
            assert_eq!(with_key(user_data, "K").unwrap(), want);
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        let error = with_key("ssh-authorized-keys = 'A'", "K").unwrap_err();
        assert_eq!(
            error.to_string(),
            "user-data: ssh-authorized-keys is not a list"
        );
    }
}
