//! Who the machine is and who may log in.

use serde::{Deserialize, Serialize};

/// A host name: labels of letters, digits and `-`, 64 bytes at most (`HOST_NAME_MAX`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hostname(String);

impl Hostname {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Hostname {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        if name.len() <= 64 && name.split('.').all(is_label) {
            return Ok(Self(name));
        }
        Err(format!(
            "`{name}` is not a host name: write letters, digits and `-`, 64 at most (RFC 1123, section 2.1)"
        ))
    }
}

pub(super) fn is_label(label: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.chars().all(fits)
}

impl From<Hostname> for String {
    fn from(name: Hostname) -> Self {
        name.0
    }
}

/// One line of `authorized_keys`: a type, a base64 key, an optional comment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthorizedKey(String);

/// What an OpenSSH public key starts with (`sshd(8)`, AUTHORIZED_KEYS FILE FORMAT).
const KEY_TYPES: [&str; 4] = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];

impl AuthorizedKey {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AuthorizedKey {
    type Error = String;

    fn try_from(line: String) -> Result<Self, String> {
        let mut words = line.split(' ');
        let known = words
            .next()
            .is_some_and(|kind| KEY_TYPES.iter().any(|known| kind.starts_with(known)));
        let base64 = |c: char| c.is_ascii_alphanumeric() || "+/=".contains(c);
        let keyed = words
            .next()
            .is_some_and(|key| key.starts_with("AAAA") && key.chars().all(base64));
        if known && keyed && !line.chars().any(char::is_control) {
            return Ok(Self(line));
        }
        Err(
            "not an OpenSSH public key: write one line as in `ssh-ed25519 AAAA… comment`"
                .to_owned(),
        )
    }
}

impl From<AuthorizedKey> for String {
    fn from(key: AuthorizedKey) -> Self {
        key.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names() {
        for good in ["a", "edge-17", "n1.example.com"] {
            assert_eq!(
                Hostname::try_from(good.to_owned()),
                Ok(Hostname(good.to_owned()))
            );
        }
        for bad in ["", "-a", "a-", "a..b", "a_b", "ä", &"x".repeat(65)] {
            let want = format!(
                "`{bad}` is not a host name: write letters, digits and `-`, 64 at most (RFC 1123, section 2.1)"
            );
            assert_eq!(Hostname::try_from(bad.to_owned()), Err(want));
        }
    }

    #[test]
    fn a_key_cannot_smuggle_a_second_line() {
        let good = "ssh-ed25519 AAAAC3Nz ops at home";
        assert_eq!(
            AuthorizedKey::try_from(good.to_owned()),
            Ok(AuthorizedKey(good.to_owned()))
        );
        let want = "not an OpenSSH public key: write one line as in `ssh-ed25519 AAAA… comment`";
        for bad in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA\nx",
            "command=\"x\" ssh-ed25519 AAAA",
            "ssh-rsa %",
        ] {
            assert_eq!(
                AuthorizedKey::try_from(bad.to_owned()),
                Err(want.to_owned()),
                "{bad}"
            );
        }
    }
}
