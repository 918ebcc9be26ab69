//! Secrets: as text, or by reference to where they are kept.

use super::FilePath;
use data_encoding::BASE64;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// What stands for a secret wherever one would be shown.
pub const HIDDEN: &str = "***";

/// A secret: its text, or where it is kept. Its [`fmt::Debug`] shows no text.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Secret {
    /// The secret itself.
    Text(String),
    /// Where it is kept.
    Reference(Reference),
}

impl Secret {
    /// Its text, if it is not a reference.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Reference(_) => None,
        }
    }

    /// Where it is kept, if it is a reference.
    #[must_use]
    pub fn reference(&self) -> Option<&Reference> {
        match self {
            Self::Text(_) => None,
            Self::Reference(reference) => Some(reference),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str(HIDDEN),
            Self::Reference(reference) => reference.fmt(f),
        }
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextOrReference)
    }
}

struct TextOrReference;

impl<'de> Visitor<'de> for TextOrReference {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a table such as { credential = \"NAME\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Ok(Secret::Text(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Secret, A::Error> {
        Reference::deserialize(MapAccessDeserializer::new(map)).map(Secret::Reference)
    }
}

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "RawReference", into = "RawReference")]
pub enum Reference {
    /// A credential of the machine, by name.
    Credential(CredentialName),
    /// A file on the state partition.
    File(FilePath),
}

/// As messages name it.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::File(path) => write!(f, "file {path}"),
        }
    }
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawReference {
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<CredentialName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<KeptPath>,
}

/// The path of a file that holds a secret. What is wrong with it does not quote it: it may be the secret, at the wrong place.
#[derive(Clone, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
struct KeptPath(FilePath);

impl TryFrom<String> for KeptPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        FilePath::try_from(path).map(Self).map_err(|_| {
            "this is not the path of a file that services and logins see: write one as in `/srv/shop/password`".to_owned()
        })
    }
}

impl From<KeptPath> for String {
    fn from(KeptPath(path): KeptPath) -> Self {
        path.into()
    }
}

impl TryFrom<RawReference> for Reference {
    type Error = String;

    fn try_from(raw: RawReference) -> Result<Self, String> {
        match (raw.credential, raw.file) {
            (Some(name), None) => Ok(Self::Credential(name)),
            (None, Some(KeptPath(path))) => Ok(Self::File(path)),
            _ => Err("a reference to a secret has either `credential` or `file`".to_owned()),
        }
    }
}

impl From<Reference> for RawReference {
    fn from(reference: Reference) -> Self {
        let (credential, file) = match reference {
            Reference::Credential(name) => (Some(name), None),
            Reference::File(path) => (None, Some(KeptPath(path))),
        };
        Self { credential, file }
    }
}

/// The name of a credential. It is that of a file in several places.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct CredentialName(String);

impl CredentialName {
    /// The longest name, in bytes: with a suffix, it is still one of a file (`NAME_MAX`).
    pub const MAX: usize = 128;

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CredentialName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        let is_name = (1..=Self::MAX).contains(&name.len()) && !name.starts_with('.');
        match is_name && name.chars().all(fits) {
            true => Ok(Self(name)),
            // It may be the secret, at the wrong place.
            false => Err(format!(
                "this is not the name of a credential: write letters, digits, `.`, `_` and `-`, {} at most, as in `registry-password`",
                Self::MAX
            )),
        }
    }
}

impl From<CredentialName> for String {
    fn from(name: CredentialName) -> Self {
        name.0
    }
}

impl fmt::Display for CredentialName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bytes of a secret. Its [`fmt::Debug`] shows none of them. It is written in base64.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretBytes(pub Vec<u8>);

impl SecretBytes {
    /// The most bytes of one secret.
    pub const MAX: usize = 64 << 10;

    /// The bytes that `text` has in base64 (RFC 4648, section 4), with white space anywhere.
    #[must_use]
    pub fn from_base64(text: &[u8]) -> Option<Self> {
        let text: Vec<u8> = text
            .iter()
            .copied()
            .filter(|byte| !byte.is_ascii_whitespace())
            .collect();
        BASE64.decode(&text).ok().map(Self)
    }

    /// The bytes in base64.
    #[must_use]
    pub fn to_base64(&self) -> String {
        BASE64.encode(&self.0)
    }

    /// As one line of text: without the end of line that editors and `echo` leave.
    ///
    /// # Errors
    /// What is wrong with it, to follow its name.
    pub(super) fn line(&self) -> Result<&str, String> {
        let text = self.utf8()?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        match line.contains('\0') {
            true => Err("holds a NUL byte".to_owned()),
            false => Ok(line.strip_suffix('\r').unwrap_or(line)),
        }
    }

    /// As text.
    ///
    /// # Errors
    /// What is wrong with it, to follow its name.
    pub(super) fn utf8(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.0).map_err(|_| "is not text in UTF-8".to_owned())
    }
}

impl TryFrom<String> for SecretBytes {
    type Error = &'static str;

    fn try_from(base64: String) -> Result<Self, Self::Error> {
        Self::from_base64(base64.as_bytes()).ok_or("not base64")
    }
}

impl From<SecretBytes> for String {
    fn from(bytes: SecretBytes) -> Self {
        bytes.to_base64()
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// What secrets hold, or why they cannot be read: a sentence that follows the name of the reference.
pub type SecretValues = BTreeMap<Reference, Result<SecretBytes, String>>;

#[cfg(test)]
mod tests {
    use super::*;
    use toml::Value;

    fn read(value: &str) -> Result<Secret, String> {
        let table: toml::Table = format!("a = {value}").parse().unwrap();
        let secret = Secret::deserialize(table["a"].clone());
        secret.map_err(|error| error.message().to_owned())
    }

    #[test]
    fn a_secret_is_a_text_or_one_reference() {
        let either = "a reference to a secret has either `credential` or `file`";
        let name = "this is not the name of a credential: write letters, digits, `.`, `_` and `-`, 128 at most, as in \
                    `registry-password`";
        for (value, want) in [
            ("''", Ok("***")),
            ("'hunter2'", Ok("***")),
            (
                "{ credential = 'db.password_1' }",
                Ok("Credential(CredentialName(\"db.password_1\"))"),
            ),
            (
                "{ file = '/srv/a/key' }",
                Ok("File(FilePath(\"/srv/a/key\"))"),
            ),
            ("{}", Err(either)),
            ("{ credential = 'a', file = '/srv/a' }", Err(either)),
            ("{ credential = '../a' }", Err(name)),
            ("{ credential = '.a' }", Err(name)),
            ("{ credential = '' }", Err(name)),
            (
                "{ file = 'hunter2' }",
                Err(
                    "this is not the path of a file that services and logins see: write one as in `/srv/shop/password`",
                ),
            ),
            (
                "{ age = 'x' }",
                Err("unknown field `age`, expected `credential` or `file`"),
            ),
            (
                "1",
                Err(
                    "invalid type: integer `1`, expected a string, or a table such as { credential = \"NAME\" }",
                ),
            ),
        ] {
            let debug = read(value).map(|secret| format!("{secret:?}"));
            assert_eq!(debug.as_deref().map_err(String::as_str), want, "{value}");
        }
    }

    #[test]
    fn a_secret_is_written_as_it_was_read() {
        for value in ["\"a\"", "{ credential = \"a\" }", "{ file = \"/srv/a\" }"] {
            let secret = read(value).unwrap();
            assert_eq!(Value::try_from(secret).unwrap().to_string(), value);
        }
    }

    #[test]
    fn bytes_are_shown_to_nobody_and_lines_have_no_end() {
        let bytes = |text: &str| SecretBytes(text.as_bytes().to_vec());
        assert_eq!(format!("{:?}", bytes("hunter2")), "***");
        for (text, want) in [("a", "a"), ("a\n", "a"), ("a\r\n", "a"), ("a\n\n", "a\n")] {
            assert_eq!(bytes(text).line(), Ok(want));
        }
        let wrong = SecretBytes(vec![0xff]);
        assert_eq!(wrong.line(), Err("is not text in UTF-8".to_owned()));
        assert_eq!(bytes("a\0b").line(), Err("holds a NUL byte".to_owned()));
    }
}
