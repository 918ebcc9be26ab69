//! Memory and disk sizes as people write them: `64MiB`, `1GiB`.

use serde::{Deserialize, Serialize};

/// A number of bytes, written as a whole number and a binary unit: `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Bytes {
    /// `n` MiB.
    #[must_use]
    pub const fn mib(n: u64) -> Self {
        Self(n << 20)
    }
}

impl TryFrom<String> for Bytes {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        parse(&text).ok_or_else(|| {
            format!(
                "`{text}` is not a size: write a whole number and KiB, MiB or GiB, as in `64MiB`"
            )
        })
    }
}

fn parse(text: &str) -> Option<Bytes> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, bytes) = UNITS.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*bytes).map(Bytes)
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        let exact = |(_, unit): &&(&str, u64)| bytes.0 % unit == 0 && bytes.0 > 0;
        let (name, unit) = UNITS.iter().find(exact).unwrap_or(&UNITS[2]);
        format!("{}{name}", bytes.0 / unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_round_trip() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1GiB", 1 << 30),
            ("4KiB", 4096),
            ("0KiB", 0),
        ] {
            assert_eq!(Bytes::try_from(text.to_owned()), Ok(Bytes(bytes)));
            assert_eq!(String::from(Bytes(bytes)), text);
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "64",
            "64MB",
            "-1MiB",
            "1.5GiB",
            "99999999999999999999GiB",
        ] {
            let want = format!(
                "`{text}` is not a size: write a whole number and KiB, MiB or GiB, as in `64MiB`"
            );
            assert_eq!(Bytes::try_from(text.to_owned()), Err(want));
        }
    }
}
