//! Kconfig fragments: the options that we request, one per line.

use std::fmt;

use anyhow::{Context, Result, bail};

/// What an option is set to. An option that its dependencies hide is absent, which counts as `n`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// `y`: built in.
    Yes,
    /// `m`: a module.
    Module,
    /// `n`: left out.
    No,
    /// A number or a quoted string, spelled as in `.config`.
    Literal(String),
}

impl Value {
    fn parse(text: &str) -> Result<Self> {
        Ok(match text {
            "y" => Self::Yes,
            "m" => Self::Module,
            "n" => Self::No,
            _ if is_literal(text) => Self::Literal(text.to_owned()),
            _ => bail!("`{text}` is not y, m, n, a number or a quoted string"),
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Yes => "y",
            Self::Module => "m",
            Self::No => "n",
            Self::Literal(text) => text,
        })
    }
}

/// A line of a fragment: `CONFIG_option=value`, and its location.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// Without `CONFIG_`.
    pub(super) option: String,
    /// The requested value.
    pub(super) value: Value,
    /// `FILE:LINE`, the line counted from 1.
    pub(super) place: String,
}

/// Reads the fragment `text` of the file `name`, in order.
///
/// `# CONFIG_X is not set` means the same as `CONFIG_X=n`: it is the spelling of `.config`, from
/// which people copy.
///
/// # Errors
/// Names file and line of what is neither an option, nor a comment, nor empty.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Request>> {
    let mut requests = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let place = format!("{name}:{number}");
        if let Some((option, value)) = setting(line.trim()).with_context(|| place.clone())? {
            let option = option.to_owned();
            requests.push(Request {
                option,
                value,
                place,
            });
        }
    }
    Ok(requests)
}

/// The option that a line sets, if it sets one.
pub(super) fn setting(line: &str) -> Result<Option<(&str, Value)>> {
    if let Some(option) = not_set(line) {
        return Ok(Some((option, Value::No)));
    }
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let assignment = line.strip_prefix("CONFIG_").and_then(|l| l.split_once('='));
    match assignment {
        Some((option, value)) if is_name(option) => Ok(Some((option, Value::parse(value)?))),
        _ => bail!("`{line}` is not CONFIG_NAME=VALUE"),
    }
}

fn not_set(line: &str) -> Option<&str> {
    let option = line
        .strip_prefix("# CONFIG_")?
        .strip_suffix(" is not set")?;
    is_name(option).then_some(option)
}

fn is_name(option: &str) -> bool {
    !option.is_empty()
        && option
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_literal(text: &str) -> bool {
    let quoted = text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
    let hexadecimal = text
        .strip_prefix("0x")
        .is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok());
    quoted || hexadecimal || text.parse::<i64>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_their_meaning() {
        for (line, want) in [
            ("CONFIG_A=y", Some(("A", Value::Yes))),
            ("  CONFIG_A_1=m  ", Some(("A_1", Value::Module))),
            ("CONFIG_A=n", Some(("A", Value::No))),
            ("# CONFIG_A is not set", Some(("A", Value::No))),
            ("CONFIG_A=-1", Some(("A", Value::Literal("-1".into())))),
            ("CONFIG_A=0xb0", Some(("A", Value::Literal("0xb0".into())))),
            (
                "CONFIG_A=\"a=b # c\"",
                Some(("A", Value::Literal("\"a=b # c\"".into()))),
            ),
            ("", None),
            ("# CONFIG_A is here because", None),
        ] {
            let want = want.map(|(option, value)| Request {
                option: option.to_owned(),
                value,
                place: "boot.config:1".to_owned(),
            });
            assert_eq!(parse("boot.config", line).unwrap(), Vec::from_iter(want));
        }
    }

    #[test]
    fn what_is_not_an_option_is_refused_with_its_place() {
        for (text, want) in [
            ("\nA=y", "a.config:2: `A=y` is not CONFIG_NAME=VALUE"),
            (
                "CONFIG_A",
                "a.config:1: `CONFIG_A` is not CONFIG_NAME=VALUE",
            ),
            (
                "CONFIG_=y",
                "a.config:1: `CONFIG_=y` is not CONFIG_NAME=VALUE",
            ),
            (
                "CONFIG_A=y # why",
                "a.config:1: `y # why` is not y, m, n, a number or a quoted string",
            ),
            (
                "CONFIG_A=\"",
                "a.config:1: `\"` is not y, m, n, a number or a quoted string",
            ),
        ] {
            assert_eq!(format!("{:#}", parse("a.config", text).unwrap_err()), want);
        }
    }
}
