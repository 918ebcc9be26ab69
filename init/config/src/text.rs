//! Parses bytes into types. Errors say where.

use crate::depth;
use crate::error::{ConfigError, Location, unknown};
use serde::de::DeserializeOwned;

/// The longest configuration text accepted, in bytes. PID 1 holds it in memory.
pub const MAX_BYTES: usize = 1 << 20;

/// Parses `bytes` from `source` as a TOML `T`.
///
/// # Errors
/// The first place where it is too long, not UTF-8, not TOML, or not a `T`.
pub fn parse<T: DeserializeOwned>(source: &str, bytes: &[u8]) -> Result<T, ConfigError> {
    let text = decode(source, bytes)?;
    depth::check(source, text).map_err(|(error, _)| error)?;
    toml::from_str(text).map_err(|error| locate(source, text, &error))
}

/// `bytes` as text, if it is UTF-8 and not too long.
pub(crate) fn decode<'a>(source: &str, bytes: &'a [u8]) -> Result<&'a str, ConfigError> {
    let refuse = |offset: usize, message: String| {
        let before = String::from_utf8_lossy(&bytes[..offset]);
        ConfigError {
            location: Location::of(source, &before, before.len()),
            message,
        }
    };
    if bytes.len() > MAX_BYTES {
        let message = format!(
            "too long: {} bytes, at most {MAX_BYTES} are read",
            bytes.len()
        );
        return Err(refuse(0, message));
    }
    std::str::from_utf8(bytes).map_err(|error| {
        let offset = error.valid_up_to();
        refuse(offset, format!("not UTF-8: byte 0x{:02x}", bytes[offset]))
    })
}

/// The TOML library's error with our wording and locations.
pub(crate) fn locate(source: &str, text: &str, error: &toml::de::Error) -> ConfigError {
    let offset = error.span().map_or(0, |span| span.start);
    ConfigError {
        location: Location::of(source, text, offset),
        message: reword(error.message()),
    }
}

/// The message of a library in our words. Serde lists every known key when it meets an unknown one
/// (`serde::de::Error::unknown_field`); we name the nearest.
pub(crate) fn reword(message: &str) -> String {
    let sentence = without_value(&message.lines().collect::<Vec<_>>().join(", "));
    for (prefix, noun) in [("unknown field `", "key"), ("unknown variant `", "value")] {
        let Some((name, rest)) = sentence
            .strip_prefix(prefix)
            .and_then(|s| s.split_once('`'))
        else {
            continue;
        };
        let known: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        return unknown(noun, name, &known);
    }
    if let Some(key) = sentence.strip_prefix("missing field ") {
        return format!("missing key {key}");
    }
    let (start, end) = match sentence.rsplit_once("expected struct ") {
        Some((start, _)) => (start, "expected a table"),
        None => {
            let ends = WORDS.iter();
            let ours =
                ends.filter_map(|(theirs, ours)| Some((sentence.strip_suffix(theirs)?, *ours)));
            ours.max_by_key(|(_, ours)| ours.len())
                .unwrap_or((&sentence, ""))
        }
    };
    for (theirs, ours) in FOUND {
        if let Some(rest) = start.strip_prefix(theirs) {
            return format!("invalid type: {ours}{rest}{end}");
        }
    }
    format!("{start}{end}")
}

/// `sentence` without the value that has the wrong type, which serde quotes (`serde::de::Unexpected`): it may be a secret,
/// and all services see what is wrong with the configuration.
fn without_value(sentence: &str) -> String {
    const QUOTED: [&str; 6] = [
        "invalid type: boolean",
        "invalid type: character",
        "invalid type: floating point",
        "invalid type: integer",
        "invalid type: string",
        "invalid value: string",
    ];
    let found = QUOTED.iter().find(|found| sentence.starts_with(**found));
    // A value may hold the same words, but what is expected comes last.
    match (found, sentence.rsplit_once(", expected ")) {
        (Some(found), Some((_, expected))) => format!("{found}, expected {expected}"),
        _ => sentence.to_owned(),
    }
}

/// Names of types.
const FOUND: [(&str, &str); 3] = [
    ("invalid type: sequence", "list"),
    ("invalid type: map", "table"),
    ("invalid type: floating point", "number"),
];

const NO_VALUE: &str = "this is not a value: text must be in quotation marks";
const NO_BOOLEAN: &str = "this is not a value: write `true` or `false`, or text in quotation marks";

/// Ends of messages of the libraries that speak of Rust's types, or do not say what would be right.
const WORDS: [(&str, &str); 17] = [
    (", expected nothing", ""),
    ("wanted string or table", "invalid type, expected a string"),
    (
        "expected IP address",
        "expected an address such as \"192.0.2.1\"",
    ),
    (
        "expected socket address",
        "expected an address with a port such as \"127.0.0.1:9100\"",
    ),
    ("invalid float, expected `nan`", NO_VALUE),
    ("invalid float, expected `inf`", NO_VALUE),
    ("invalid boolean, expected `true`", NO_BOOLEAN),
    ("invalid boolean, expected `false`", NO_BOOLEAN),
    (
        "string values must be quoted, expected literal string",
        NO_VALUE,
    ),
    ("expected i64", "expected a whole number"),
    ("expected u64", "expected a whole number from 0"),
    (
        "expected u32",
        "expected a whole number from 0 to 4294967295",
    ),
    ("expected u16", "expected a whole number from 0 to 65535"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected a table"),
    (
        "invalid IP address syntax",
        "this is not an address: write it as in `192.0.2.1` or `2001:db8::1`",
    ),
    (
        "invalid socket address syntax",
        "this is not an address with a port: write it as in `127.0.0.1:9100` or `[::1]:9100`",
    ),
];

/// Checks that `name` is valid for a service, an app or a volume: it becomes the name of a directory and a cgroup.
///
/// # Errors
/// A sentence that says what a name is.
pub fn name(name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase());
    if starts && name.len() <= 63 && name.chars().all(inner) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a name: write a letter, then letters, digits or `-`, all lower case, 63 at most"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Service;

    fn error(text: &[u8]) -> String {
        parse::<Service>("s", text).unwrap_err().to_string()
    }

    #[test]
    fn refusals_name_place_and_cause() {
        let head = "description = 'x'\n";
        for (text, want) in [
            (
                "descriptio = 'x'\n[process]\nargs=[]\n",
                "s:1:1: unknown key `descriptio`, did you mean `description`?",
            ),
            (
                "description = 1",
                "s:1:15: invalid type: integer, expected a string",
            ),
            ("description = 'x'\n", "s:1:1: missing key `process`"),
        ] {
            assert_eq!(error(text.as_bytes()), want);
        }
        let kind = format!("{head}[process]\nargs = ['/a']\n[lifecycle]\nkind = 'deamon'\n");
        assert_eq!(
            error(kind.as_bytes()),
            "s:5:8: unknown value `deamon`, did you mean `daemon`?"
        );
    }

    #[test]
    fn what_libraries_say_is_said_in_our_words() {
        for (theirs, ours) in [
            ("missing field `to`", "missing key `to`"),
            (
                "invalid type: sequence, expected struct RawForward",
                "invalid type: list, expected a table",
            ),
            (
                "invalid type: floating point `1.5`, expected u16",
                "invalid type: number, expected a whole number from 0 to 65535",
            ),
            (
                "invalid type: string \"a, expected b\", expected a sequence",
                "invalid type: string, expected a list",
            ),
            (
                "invalid value: integer `-1`, expected u16",
                "invalid value: integer `-1`, expected a whole number from 0 to 65535",
            ),
            (
                "unexpected leading zero, expected nothing",
                "unexpected leading zero",
            ),
            ("duplicate key", "duplicate key"),
        ] {
            assert_eq!(reword(theirs), ours);
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        assert_eq!(error(b"a = 1\nb = '\xff'"), "s:2:6: not UTF-8: byte 0xff");
        let long = vec![b'#'; MAX_BYTES + 1];
        assert_eq!(
            error(&long),
            "s:1:1: too long: 1048577 bytes, at most 1048576 are read"
        );
    }

    #[test]
    fn what_is_deep_is_refused() {
        let text = format!("a = {{ {}a = 1 }}", "a.".repeat(79));
        let want = "s:1:165: tables and lists in one another, more than 80 deep";
        assert_eq!(error(text.as_bytes()), want);
    }

    #[test]
    fn names_are_folder_and_cgroup_names() {
        assert_eq!(name("ssh"), Ok(()));
        for bad in ["", "Ssh", "-a", "a/b", "..", "a b", &"x".repeat(64)] {
            let want = format!(
                "`{bad}` is not a name: write a letter, then letters, digits or `-`, all lower case, 63 at most"
            );
            assert_eq!(name(bad), Err(want));
        }
    }
}
