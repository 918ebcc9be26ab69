//! Keys that may log in: lines of `authorized_keys` as sshd accepts them (sshd(8), AUTHORIZED_KEYS FILE FORMAT).

use crate::error::unknown;
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

/// Options that stand alone, each also with `no-` before it (`sshauthopt_parse`, auth-options.c of OpenSSH 10).
const FLAGS: [&str; 7] = [
    "agent-forwarding",
    "port-forwarding",
    "pty",
    "touch-required",
    "user-rc",
    "verify-required",
    "x11-forwarding",
];

/// Options that stand alone as they are.
const PLAIN_FLAGS: [&str; 2] = ["cert-authority", "restrict"];

/// Options with a value in quotation marks.
const WITH_VALUE: [&str; 8] = [
    "command",
    "environment",
    "expiry-time",
    "from",
    "permitlisten",
    "permitopen",
    "principals",
    "tunnel",
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

/// A public key without options: an element of `ssh.trusted-user-ca-keys`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(String);

impl PublicKey {
    /// The line, without the white space around it.
    #[must_use]
    pub fn line(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for PublicKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let line = text.trim();
        check(line)?;
        if starts_with_type(line) {
            Ok(Self(line.to_owned()))
        } else {
            Err("a public key has no options here: write the line of its `.pub` file".to_owned())
        }
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
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
    let (options, key) = options(line).ok_or("a quotation mark is not closed")?;
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
    if !is_whole(&blob, kind) {
        return Err(format!("the key is cut off, or is not an {kind} key"));
    }
    check_options(options)
}

/// The options, which may have spaces within quotation marks, and what follows them. `None` if a quotation mark is not closed.
fn options(line: &str) -> Option<(&str, &str)> {
    if starts_with_type(line) {
        return Some(("", line));
    }
    let (options, rest) = before(line, &[' ', '\t'])?;
    Some((options, rest.trim_start()))
}

/// What is before the first of `ends` outside of quotation marks, and the rest. `None` if a quotation mark is not closed.
fn before<'t>(text: &'t str, ends: &[char]) -> Option<(&'t str, &'t str)> {
    let (mut quoted, mut escaped) = (false, false);
    let end = text.find(|c: char| {
        if c == '"' && !escaped {
            quoted = !quoted;
        }
        escaped = c == '\\' && !escaped;
        !quoted && ends.contains(&c)
    });
    match end {
        None if quoted => None,
        end => Some(text.split_at(end.unwrap_or(text.len()))),
    }
}

/// Checks that sshd knows each of `options`: it skips the line of one that it does not.
fn check_options(options: &str) -> Result<(), String> {
    let mut next = Some(options).filter(|options| !options.is_empty());
    while let Some(options) = next {
        let (option, rest) = before(options, &[',']).unwrap_or((options, ""));
        if option.is_empty() {
            return Err("an option is missing before or after a comma".to_owned());
        }
        check_option(option)?;
        next = rest.strip_prefix(',');
    }
    Ok(())
}

fn check_option(option: &str) -> Result<(), String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let lower = name.to_ascii_lowercase();
    if WITH_VALUE.contains(&&*lower) {
        let quoted = value.and_then(|value| value.strip_prefix('"')?.strip_suffix('"'));
        return match quoted {
            Some(_) => Ok(()),
            None => Err(format!(
                "the option `{name}` needs a value in quotation marks: write {lower}=\"…\""
            )),
        };
    }
    let is_flag = PLAIN_FLAGS.contains(&&*lower)
        || FLAGS.contains(&lower.strip_prefix("no-").unwrap_or(&lower));
    match (is_flag, value) {
        (true, None) => Ok(()),
        (true, Some(_)) => Err(format!("the option `{name}` has no value")),
        (false, _) => {
            let known = [&FLAGS[..], &PLAIN_FLAGS, &WITH_VALUE].concat();
            Err(unknown("option", name, &known))
        }
    }
}

/// Whether `line` has no options before its type.
fn starts_with_type(line: &str) -> bool {
    let first = line.split([' ', '\t']).next().unwrap_or_default();
    TYPES.contains(&first) || first == "ssh-dss"
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
            format!("no-X11-forwarding,NO-pty,verify-required,Command=\"a,b\" {ED25519}"),
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
    fn a_public_key_stands_alone() {
        for (text, want) in [
            (ED25519.to_owned(), Ok(ED25519.to_owned())),
            (format!(" {ED25519} ca\n"), Ok(format!("{ED25519} ca"))),
            (
                format!("cert-authority {ED25519}"),
                Err(
                    "a public key has no options here: write the line of its `.pub` file"
                        .to_owned(),
                ),
            ),
            (
                "# mine".to_owned(),
                Err(
                    "`mine` is not a type of key; write one line as in `ssh-ed25519 AAAA… comment`"
                        .to_owned(),
                ),
            ),
        ] {
            let read = PublicKey::try_from(text).map(|key| key.line().to_owned());
            assert_eq!(read, want);
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
                &format!("restrict,comand=\"x\" {ED25519}"),
                "unknown option `comand`, did you mean `command`?",
            ),
            (
                &format!("no-cert-authority {ED25519}"),
                "unknown option `no-cert-authority`, did you mean `cert-authority`?",
            ),
            (
                &format!("from=10.0.0.0/8 {ED25519}"),
                "the option `from` needs a value in quotation marks: write from=\"…\"",
            ),
            (
                &format!("pty=\"x\" {ED25519}"),
                "the option `pty` has no value",
            ),
            (
                &format!("restrict, {ED25519}"),
                "an option is missing before or after a comma",
            ),
            (
                &format!("restrict,,pty {ED25519}"),
                "an option is missing before or after a comma",
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
