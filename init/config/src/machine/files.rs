//! Files that user-data writes.

use super::secrets::Lookup;
use super::{Reference, Secret, SecretBytes};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The folders that services and logins see under these names.
const FOLDERS: [&str; 6] = ["data", "home", "mnt", "opt", "root", "srv"];

/// The longest path (`PATH_MAX`, with its terminating zero) and name (`NAME_MAX`) that programs can open.
const MAX_PATH: usize = 4095;
const MAX_NAME: usize = 255;

/// The path of a file below one of the folders that services and logins see, such as `/srv/shop/settings.ini`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FilePath(String);

impl FilePath {
    /// The folder that it begins with, without `/`.
    #[must_use]
    pub fn top(&self) -> &str {
        self.parts().next().unwrap_or_default()
    }

    /// The names below [`FilePath::top`], the last of which is that of the file.
    pub fn below(&self) -> impl Iterator<Item = &str> {
        self.parts().skip(1)
    }

    fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').skip(1)
    }
}

impl TryFrom<String> for FilePath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let fits = |name: &str| {
            (1..=MAX_NAME).contains(&name.len())
                && ![".", ".."].contains(&name)
                && !name.contains(|c: char| c.is_ascii_control())
        };
        let parts: Vec<&str> = path.split('/').collect();
        let is_path = match &parts[..] {
            ["", top, names @ ..] => {
                FOLDERS.contains(top) && !names.is_empty() && names.iter().all(|name| fits(name))
            }
            _ => false,
        };
        match is_path && path.len() <= MAX_PATH {
            true => Ok(Self(path)),
            false => Err(format!(
                "`{path}` is not the path of a file: write one below {}, without `.`, `..` and `//`",
                FOLDERS.map(|folder| format!("/{folder}")).join(", ")
            )),
        }
    }
}

impl From<FilePath> for String {
    fn from(path: FilePath) -> Self {
        path.0
    }
}

impl fmt::Display for FilePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file: what is in it, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", try_from = "RawFile")]
#[cfg_attr(feature = "schema", schemars(!try_from, deny_unknown_fields, extend(
        "oneOf" = [{ "required": ["text"] }, { "required": ["base64"] }],
        "examples" = [{ "text": "[shop]\ncurrency = EUR\n" }],
        "x-tare-see" = "user-data.md#files",
    )))]
pub struct File {
    /// Its content. A file has either this or `base64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["[shop]\ncurrency = EUR\n", { "credential": "shop-key" }],
        "x-tare-apply" = "live",
        "x-tare-default" = "none",
    )))]
    pub text: Option<Secret>,
    /// Its content, if that is not text: bytes in base64 (RFC 4648, section 4), also in several lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["H4sIAAAAAAAAAwMAAAAAAAAAAAA="],
        "x-tare-apply" = "live",
        "x-tare-default" = "none",
    )))]
    pub base64: Option<Base64>,
    /// Its permissions, in octal.
    #[cfg_attr(feature = "schema", schemars(default, extend(
        "examples" = ["0600"],
        "x-tare-apply" = "live",
    )))]
    pub mode: FileMode,
    /// Its user and group, by number: their names are those of each container.
    #[cfg_attr(feature = "schema", schemars(default, extend(
        "examples" = ["1000:1000"],
        "x-tare-apply" = "live",
    )))]
    pub owner: Owner,
    /// What its content must be: with another one, the file is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["4b54f8592eb8467fbd4f15b72ebd3b88344d492cc896552e1627566be8e9b9cf"],
        "x-tare-apply" = "live",
        "x-tare-default" = "none",
    )))]
    pub sha256: Option<Checksum>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    text: Option<Secret>,
    base64: Option<Base64>,
    #[serde(default)]
    mode: FileMode,
    #[serde(default)]
    owner: Owner,
    sha256: Option<Checksum>,
}

impl TryFrom<RawFile> for File {
    type Error = String;

    fn try_from(raw: RawFile) -> Result<Self, String> {
        let RawFile {
            text,
            base64,
            mode,
            owner,
            sha256,
        } = raw;
        if text.is_some() == base64.is_some() {
            return Err("a file has either `text` or `base64`".to_owned());
        }
        let file = Self {
            text,
            base64,
            mode,
            owner,
            sha256,
        };
        match &file.sha256 {
            Some(Checksum(want)) if file.reference().is_none() => {
                check_sum(&file.contents(), want).map(|()| file)
            }
            _ => Ok(file),
        }
    }
}

fn check_sum(contents: &[u8], want: &str) -> Result<(), String> {
    let is = HEXLOWER.encode(&Sha256::digest(contents));
    match is == want {
        true => Ok(()),
        false => Err(format!("sha256 is {want}, but that of the content is {is}")),
    }
}

impl File {
    /// The bytes in it; none if they are kept elsewhere.
    #[must_use]
    pub fn contents(&self) -> Vec<u8> {
        match (&self.text, &self.base64) {
            (Some(text), _) => text.text().unwrap_or_default().as_bytes().to_vec(),
            (None, Some(base64)) => base64.bytes(),
            (None, None) => Vec::new(),
        }
    }

    /// Where its content is kept, if that is a reference.
    pub(super) fn reference(&self) -> Option<&Reference> {
        let base64 = self.base64.as_ref().map(|Base64(base64)| base64);
        self.text.as_ref().or(base64).and_then(Secret::reference)
    }

    /// Puts the content in place of the reference to it. False if it is missing.
    pub(super) fn fill(&mut self, path: &FilePath, lookup: &mut Lookup<'_>) -> bool {
        let Some(reference) = self.reference().cloned() else {
            return true;
        };
        let key = format!("files.\"{path}\"");
        let filled = lookup.get(&key, &reference, "the file is not written", |bytes| {
            self.with(bytes)
        });
        match filled {
            Some(file) => *self = file,
            None => return false,
        }
        true
    }

    /// This file with the content `bytes`, or what is wrong with that.
    fn with(&self, bytes: &SecretBytes) -> Result<Self, String> {
        let text = bytes.utf8().map(|text| Secret::Text(text.to_owned()));
        let (text, base64) = match (&self.text, text) {
            (Some(_), Ok(text)) => (Some(text), None),
            (Some(_), Err(_)) => (None, Some(Base64(Secret::Text(BASE64.encode(&bytes.0))))),
            (None, text) => (
                None,
                Some(Base64::try_from(text?).map_err(|_| "is not base64")?),
            ),
        };
        let file = Self {
            text,
            base64,
            ..self.clone()
        };
        match &file.sha256 {
            Some(Checksum(want)) if check_sum(&file.contents(), want).is_err() => {
                Err("has another SHA-256".to_owned())
            }
            _ => Ok(file),
        }
    }
}

/// Bytes in base64, with white space anywhere.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Secret", into = "Secret")]
pub struct Base64(Secret);

impl Base64 {
    fn bytes(&self) -> Vec<u8> {
        // It was decoded before.
        self.0.text().and_then(decode).unwrap_or_default()
    }
}

fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text.split_ascii_whitespace().collect();
    BASE64.decode(text.as_bytes()).ok()
}

impl TryFrom<Secret> for Base64 {
    type Error = String;

    fn try_from(secret: Secret) -> Result<Self, String> {
        match secret.text().map(decode) {
            Some(None) => Err(
                "the text is not base64, or is cut off: write what `base64 FILE` prints".to_owned(),
            ),
            _ => Ok(Self(secret)),
        }
    }
}

impl From<Base64> for Secret {
    fn from(base64: Base64) -> Self {
        base64.0
    }
}

/// Permissions of a file, 0777 at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileMode(pub u32);

impl Default for FileMode {
    fn default() -> Self {
        Self(0o644)
    }
}

impl TryFrom<String> for FileMode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits = text.strip_prefix('0').filter(|rest| rest.len() == 3);
        let digits = digits.unwrap_or(&text);
        let is_octal = digits.len() == 3 && digits.bytes().all(|digit| digit.is_ascii_digit());
        match u32::from_str_radix(digits, 8) {
            Ok(mode) if is_octal => Ok(Self(mode)),
            _ => Err(format!(
                "`{text}` are no permissions of a file: write them as in `0640`, 0777 at most"
            )),
        }
    }
}

impl From<FileMode> for String {
    fn from(mode: FileMode) -> Self {
        format!("{:04o}", mode.0)
    }
}

/// The user and the group of a file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Owner {
    /// The number of its user.
    pub user: u32,
    /// The number of its group.
    pub group: u32,
}

impl TryFrom<String> for Owner {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |digits: &str| {
            let is_number = digits.bytes().all(|digit| digit.is_ascii_digit());
            let number = digits.parse::<u32>().ok().filter(|_| is_number);
            // chown(2) leaves an owner as it is if it is told -1.
            number.filter(|number| *number != u32::MAX)
        };
        let numbers = text
            .split_once(':')
            .and_then(|(user, group)| Some((number(user)?, number(group)?)));
        match numbers {
            Some((user, group)) => Ok(Self { user, group }),
            None => Err(format!(
                "`{text}` is not an owner: write the numbers of a user and a group as in `1000:1000`"
            )),
        }
    }
}

impl From<Owner> for String {
    fn from(owner: Owner) -> Self {
        format!("{}:{}", owner.user, owner.group)
    }
}

/// A SHA-256 in hexadecimal digits, as sha256sum(1) prints it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Checksum(String);

impl TryFrom<String> for Checksum {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => Err(format!(
                "`{text}` is not a SHA-256: write the 64 digits that `sha256sum FILE` prints"
            )),
        }
    }
}

impl From<Checksum> for String {
    fn from(checksum: Checksum) -> Self {
        checksum.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Machine;

    #[test]
    fn paths_lie_where_services_and_logins_see_them() {
        for (path, fits) in [
            ("/srv/a", true),
            ("/root/.ssh/a b", true),
            ("/home/..a/.b./c", true),
            ("/mnt/ä", true),
            ("/srv", false),
            ("/srv/", false),
            ("/srv/a/", false),
            ("/srv//a", false),
            ("/srv/../etc/passwd", false),
            ("/srv/./a", false),
            ("/srv/a\n", false),
            ("srv/a", false),
            ("/etc/passwd", false),
            ("/tmp/a", false),
            ("", false),
            (&format!("/srv/{}", "x".repeat(255)), true),
            (&format!("/srv/{}", "x".repeat(256)), false),
            (&format!("/srv{}", "/x".repeat(2045)), true),
            (&format!("/srv{}", "/x".repeat(2046)), false),
        ] {
            assert_eq!(FilePath::try_from(path.to_owned()).is_ok(), fits, "{path}");
        }
        let path = FilePath::try_from("/srv/a/b".to_owned()).unwrap();
        assert_eq!(path.top(), "srv");
        assert_eq!(path.below().collect::<Vec<_>>(), ["a", "b"]);
    }

    #[test]
    fn content_is_text_or_base64_with_its_sum() {
        let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for (text, want) in [
            ("text = 'abc'", Ok("abc")),
            ("text = ''", Ok("")),
            ("base64 = \"YW\\n Jj\"", Ok("abc")),
            (&format!("text = 'abc'\nsha256 = '{sum}'"), Ok("abc")),
            (
                &format!("base64 = 'YWJj'\nsha256 = '{}'", sum.to_uppercase()),
                Ok("abc"),
            ),
            (
                &format!("text = 'abd'\nsha256 = '{sum}'"),
                Err(format!(
                    "sha256 is {sum}, but that of the content is \
                     a52d159f262b2c6ddb724a61840befc36eb30c88877a4030b65cbe86298449c9"
                )),
            ),
            (
                "mode = '0600'",
                Err("a file has either `text` or `base64`".to_owned()),
            ),
            (
                "text = 'a'\nbase64 = 'YQ=='",
                Err("a file has either `text` or `base64`".to_owned()),
            ),
        ] {
            let read = toml::from_str::<Machine>(&format!("[files.'/srv/a']\n{text}"));
            let read = read
                .map(|machine| machine.files.values().next().unwrap().contents())
                .map_err(|error| error.message().to_owned());
            assert_eq!(read, want.map(|want| want.as_bytes().to_vec()), "{text}");
        }
    }

    #[test]
    fn modes_and_owners_round_trip() {
        for (text, want) in [
            ("0640", Some(0o640)),
            ("640", Some(0o640)),
            ("0000", Some(0)),
        ] {
            let mode = FileMode::try_from(text.to_owned()).ok();
            assert_eq!(mode.map(|mode| mode.0), want, "{text}");
        }
        for text in ["", "64", "4755", "0888", "+64", "00640", "rw-r--r--"] {
            let want = format!(
                "`{text}` are no permissions of a file: write them as in `0640`, 0777 at most"
            );
            assert_eq!(FileMode::try_from(text.to_owned()), Err(want));
        }
        let owner = Owner::try_from("1000:4294967294".to_owned()).unwrap();
        assert_eq!((owner.user, owner.group), (1000, u32::MAX - 1));
        assert_eq!(String::from(owner), "1000:4294967294");
        for text in [
            "",
            "1000",
            "1000:",
            ":1",
            "+1:1",
            "-1:1",
            "root:root",
            "4294967295:0",
            "1:1:1",
        ] {
            let want = format!(
                "`{text}` is not an owner: write the numbers of a user and a group as in `1000:1000`"
            );
            assert_eq!(Owner::try_from(text.to_owned()), Err(want));
        }
    }
}
