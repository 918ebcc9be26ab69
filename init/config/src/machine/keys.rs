//! Keys that may log in: lines of `authorized_keys` as sshd accepts them (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

use data_encoding::BASE64;
use serde::{Deserialize, Serialize};

/// The key types that OpenSSH 10's sshd accepts. DSA is no longer among them.
pub(crate) const TYPES: [&str; 7] = [
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "sk-ssh-ed25519@openssh.com",
    "ssh-ed25519",
    "ssh-rsa",
];

/// A line of `authorized_keys`: an element of `ssh-authorized-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct AuthorizedKey(String);

impl AuthorizedKey {
    /// The line, without the white space around it; `None` if it is a comment or empty, as lines of the file may be.
    #[must_use]
    pub fn line(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|line| !is_comment(line))
    }
}

impl TryFrom<String> for AuthorizedKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let line = text.trim();
        if !is_comment(line) {
            check(line)?;
        }
        Ok(Self(line.to_owned()))
    }
}

impl From<AuthorizedKey> for String {
    fn from(key: AuthorizedKey) -> Self {
        key.0
    }
}

fn is_comment(line: &str) -> bool {
    line.is_empty() || line.starts_with('#')
}

/// Checks that `line` is options, if any, a key type, and a complete key of that type.
fn check(line: &str) -> Result<(), String> {
    const WANT: &str = "write one line as in `ssh-ed25519 AAAA… comment`";
    if line.chars().any(|c| c.is_control() && c != '\t') {
        return Err(format!("more than one line; {WANT}"));
    }
    let key = without_options(line).ok_or("a quotation mark is not closed")?;
    let mut words = key.split([' ', '\t']).filter(|word| !word.is_empty());
    let kind = words.next().unwrap_or_default();
    if kind == "ssh-dss" {
        return Err("sshd takes no DSA keys any more".to_owned());
    }
    if !TYPES.contains(&kind) {
        return Err(format!("`{kind}` is not a type of key; {WANT}"));
    }
    let blob = BASE64
        .decode(words.next().unwrap_or_default().as_bytes())
        .map_err(|_| format!("the key is not base64, or is cut off; {WANT}"))?;
    if is_whole(&blob, kind) {
        Ok(())
    } else {
        Err(format!("the key is cut off, or is not an {kind} key"))
    }
}

/// What follows the options, which may have spaces within quotation marks. `None` if a quotation mark is not closed.
fn without_options(line: &str) -> Option<&str> {
    let first = line.split([' ', '\t']).next().unwrap_or_default();
    if TYPES.contains(&first) || first == "ssh-dss" {
        return Some(line);
    }
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|c: char| {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        !quoted && (c == ' ' || c == '\t')
    });
    match end {
        Some(end) => Some(line[end..].trim_start()),
        None if quoted => None,
        None => Some(""),
    }
}

/// Whether `blob` is a list of length-prefixed strings, the first of which is `kind` (RFC 4251, section 5; RFC 4253,
/// 6.6).
fn is_whole(blob: &[u8], kind: &str) -> bool {
    let mut rest = blob;
    let mut strings = Vec::new();
    while let Some((length, after)) = rest.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        if length > after.len() {
            return false;
        }
        let (string, next) = after.split_at(length);
        strings.push(string);
        rest = next;
    }
    rest.is_empty() && strings.len() > 1 && strings[0] == kind.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn sk() -> String {
        let kind = b"sk-ssh-ed25519@openssh.com";
        let strings: [&[u8]; 3] = [kind, &[7; 32], b"ssh:"];
        let blob: Vec<u8> = strings
            .iter()
            .flat_map(|string| [&(string.len() as u32).to_be_bytes()[..], string].concat())
            .collect();
        format!("sk-ssh-ed25519@openssh.com {}", BASE64.encode(&blob))
    }

    #[test]
    fn what_sshd_takes_is_taken() {
        for line in [
            ED25519.to_owned(),
            format!("{ED25519} ops at home"),
            format!("  {ED25519}\r\n"),
            ED25519.replace(' ', " \t "),
            format!("from=\"10.0.0.0/8\" {ED25519} x"),
            format!("cert-authority {ED25519}"),
            format!("restrict,pty,command=\"echo \\\"a b\\\"\" {ED25519}"),
            sk(),
        ] {
            let key = AuthorizedKey::try_from(line.clone()).unwrap();
            assert_eq!(key.line(), Some(line.trim()));
        }
        for comment in ["", "# mine", "  "] {
            let key = AuthorizedKey::try_from(comment.to_owned()).unwrap();
            assert_eq!(key.line(), None);
        }
    }

    #[test]
    fn what_sshd_would_skip_is_refused() {
        for (bad, why) in [
            (
                "ssh-ed25519",
                "the key is cut off, or is not an ssh-ed25519 key",
            ),
            (
                "ssh-ed25519 %",
                "the key is not base64, or is cut off; write one line as in `ssh-ed25519 AAAA… comment`",
            ),
            (
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAA",
                "the key is cut off, or is not an ssh-ed25519 key",
            ),
            (
                &format!("{ED25519}\nssh-rsa AAAA"),
                "more than one line; write one line as in `ssh-ed25519 AAAA… comment`",
            ),
            (
                &ED25519.replace("ssh-ed25519", "ssh-rsa"),
                "the key is cut off, or is not an ssh-rsa key",
            ),
            ("ssh-dss AAAA", "sshd takes no DSA keys any more"),
            (
                &format!("command=\"x {ED25519}"),
                "a quotation mark is not closed",
            ),
            (
                "hello world",
                "`world` is not a type of key; write one line as in `ssh-ed25519 AAAA… comment`",
            ),
        ] {
            assert_eq!(AuthorizedKey::try_from(bad.to_owned()), Err(why.to_owned()));
        }
    }
}
