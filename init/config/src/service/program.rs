//! Arguments and environment of a program: NUL-terminated strings for `execve(2)`.

use crate::machine::Secret;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// An executable program and its arguments.
pub(crate) fn args<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: From<Vec<String>>,
{
    let args = Vec::<Text>::deserialize(from)?;
    match args.first() {
        Some(Text(program)) if program.starts_with('/') => {
            let args: Vec<String> = args.into_iter().map(|Text(arg)| arg).collect();
            Ok(args.into())
        }
        _ => Err(D::Error::custom(
            "args must start with the absolute path of a program",
        )),
    }
}

/// Arguments of a program that something else names.
pub(crate) fn texts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let texts = Vec::<Text>::deserialize(from)?;
    Ok(texts.into_iter().map(|Text(text)| text).collect())
}

/// Environment variables by name.
pub(crate) fn environment<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    let variables = BTreeMap::<Name, Text>::deserialize(from)?;
    let mut checked = BTreeMap::new();
    for (Name(name), Text(value)) in variables {
        check_length(&name, &value).map_err(D::Error::custom)?;
        checked.insert(name, value);
    }
    Ok(checked)
}

/// Environment variables by name. Values may be references to secrets.
pub(crate) fn environment_or_references<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<String, Secret>, D::Error> {
    let variables = BTreeMap::<Name, Secret>::deserialize(from)?;
    let mut checked = BTreeMap::new();
    for (Name(name), value) in variables {
        if let Secret::Text(text) = &value {
            check_text(text)
                .and_then(|()| check_length(&name, text))
                .map_err(D::Error::custom)?;
        }
        checked.insert(name, value);
    }
    Ok(checked)
}

fn check_length(name: &str, value: &str) -> Result<(), String> {
    match name.len() + "=".len() + value.len() {
        LONGEST.. => Err(format!("`{name}` is too long: {SHORTER}")),
        _ => Ok(()),
    }
}

/// The longest argument or variable that the kernel accepts, in bytes and including its NUL (`MAX_ARG_STRLEN`,
/// execve(2)).
pub(crate) const LONGEST: usize = 128 << 10;

/// Says [`LONGEST`].
const SHORTER: &str = "an argument or variable must be shorter than 131072 bytes";

/// An argument, or a variable's value. Either may be a secret, and no message holds it.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Text(String);

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        check_text(&text).map(|()| Self(text))
    }
}

fn check_text(text: &str) -> Result<(), String> {
    if text.contains('\0') {
        Err("an argument or variable must not hold a NUL byte".to_owned())
    } else if text.len() >= LONGEST {
        Err(format!("too long: {SHORTER}"))
    } else {
        Ok(())
    }
}

/// A variable's name (`environ(7)`).
#[derive(PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        match name.is_empty() || name.contains(['=', '\0']) {
            true => Err(format!(
                "`{}` is not the name of a variable: it must not be empty or hold `=` or a NUL byte",
                name.escape_debug()
            )),
            false => Ok(Self(name)),
        }
    }
}
