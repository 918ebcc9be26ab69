//! Keys about the configuration itself.

use serde::{Deserialize, Serialize};
use std::ops::Range;
use toml::de::{DeTable, DeValue};

/// The version of the keys that a source is written for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct SchemaVersion;

impl SchemaVersion {
    /// The only one so far.
    const NUMBER: i64 = 1;
}

impl TryFrom<i64> for SchemaVersion {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match number {
            Self::NUMBER => Ok(Self),
            _ => Err(format!(
                "schema is {number}: this release knows {} only",
                Self::NUMBER
            )),
        }
    }
}

impl From<SchemaVersion> for i64 {
    fn from(_: SchemaVersion) -> Self {
        SchemaVersion::NUMBER
    }
}

/// A key as TOML spells it, with dots: an element of `unset`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct DottedKey {
    text: String,
    keys: Vec<String>,
}

impl DottedKey {
    /// Its parts.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }
}

impl TryFrom<String> for DottedKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match parse(&text) {
            Some(keys) => Ok(Self { text, keys }),
            None => Err(format!(
                "`{text}` is not a key: write it as in `network.interfaces.eth0.addresses`"
            )),
        }
    }
}

impl From<DottedKey> for String {
    fn from(key: DottedKey) -> Self {
        key.text
    }
}

/// The longest dotted key, in bytes.
const LONGEST: usize = 4096;

/// The parts of a dotted key, which TOML's own parser tells apart.
fn parse(text: &str) -> Option<Vec<String>> {
    // In longer ones, inline tables could be too deep in one another.
    if text.contains('\n') || text.len() > LONGEST {
        return None;
    }
    let line = format!("{text} = 0");
    let value: Range<usize> = line.len() - 1..line.len();
    let table = DeTable::parse(&line).ok()?.into_inner();
    let mut keys = Vec::new();
    let mut table = &table;
    loop {
        let (key, inner) = table.iter().next()?;
        keys.push(key.get_ref().to_string());
        match inner.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => return (inner.span() == value).then_some(keys),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_as_in_toml() {
        for (text, want) in [
            ("hostname", Some(vec!["hostname"])),
            ("log . forward", Some(vec!["log", "forward"])),
            (
                "sysctl.\"net.ipv4.ip_forward\"",
                Some(vec!["sysctl", "net.ipv4.ip_forward"]),
            ),
            ("", None),
            ("a.", None),
            ("a b", None),
            ("a = 1 #", None),
            ("a = 1\nb", None),
            ("[a]\nb", None),
            ("# a", None),
        ] {
            let key = DottedKey::try_from(text.to_owned());
            let keys = key
                .as_ref()
                .map(|key| key.keys().iter().map(String::as_str).collect());
            assert_eq!(keys.ok(), want, "{text}");
        }
    }

    #[test]
    fn there_is_one_version() {
        assert_eq!(SchemaVersion::try_from(1), Ok(SchemaVersion));
        let want = "schema is 2: this release knows 1 only";
        assert_eq!(SchemaVersion::try_from(2), Err(want.to_owned()));
    }
}
