//! Swap.

use crate::Bytes;
use serde::{Deserialize, Serialize};

/// Where the kernel puts what programs have not used for long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Swap {
    /// Compressed in memory. It is used before `swap.file`.
    pub zram: Zram,
    /// The size of a file on the state partition: at most half of what is free there. With the state in memory there is none.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["2GiB"],
        "x-tare-apply" = "live",
        "x-tare-default" = "none",
    )))]
    pub file: Option<SwapSize>,
}

/// Swap that is compressed in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Zram {
    /// How much it can hold, uncompressed, or how much of the machine's memory that is. What it holds takes half
    /// of that at most, as a rule; an empty one takes nothing.
    #[cfg_attr(feature = "schema", schemars(extend(
        "examples" = ["50%", "1GiB"],
        "x-tare-apply" = "live",
        "x-tare-default" = "none",
    )))]
    pub size: Option<ZramSize>,
}

/// The size of swap, from 1 MiB to 16 TiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "Bytes", into = "Bytes")]
pub struct SwapSize(Bytes);

impl SwapSize {
    /// The header counts pages of 4 KiB in 32 bits (6.12, `union swap_header`).
    const MOST: Bytes = Bytes(4096 << 32);

    /// In bytes.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.0
    }
}

impl TryFrom<Bytes> for SwapSize {
    type Error = String;

    fn try_from(size: Bytes) -> Result<Self, String> {
        if (Bytes::mib(1)..=Self::MOST).contains(&size) {
            return Ok(Self(size));
        }
        let (most, is) = (String::from(Self::MOST), String::from(size));
        Err(format!("the size of swap must be 1MiB..={most}, is {is}"))
    }
}

impl From<SwapSize> for Bytes {
    fn from(size: SwapSize) -> Self {
        size.0
    }
}

/// How much swap there is in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum ZramSize {
    /// As much.
    Fixed(SwapSize),
    /// Per cent of the machine's memory, from 1 to 200.
    OfMemory(u8),
}

impl ZramSize {
    /// In bytes, on a machine with `memory` bytes.
    #[must_use]
    pub fn of(self, memory: u64) -> u64 {
        match self {
            Self::Fixed(size) => size.get(),
            Self::OfMemory(percent) => memory / 100 * u64::from(percent),
        }
    }
}

impl TryFrom<String> for ZramSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let Some(number) = text.strip_suffix('%') else {
            return match Bytes::try_from(text) {
                Ok(size) => SwapSize::try_from(size).map(Self::Fixed),
                Err(error) => Err(format!("{error}, or how much of the memory, as in `50%`")),
            };
        };
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        match number.parse() {
            Ok(percent @ 1..=200) if is_number => Ok(Self::OfMemory(percent)),
            _ => Err(format!(
                "`{text}` is not a part of the memory: it must be `1%` to `200%`"
            )),
        }
    }
}

impl From<ZramSize> for String {
    fn from(size: ZramSize) -> Self {
        match size {
            ZramSize::Fixed(size) => size.0.into(),
            ZramSize::OfMemory(percent) => format!("{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_zram() {
        const MEMORY: u64 = 1000 << 20;
        for (text, want) in [
            ("50%", Ok(500 << 20)),
            ("1%", Ok(10 << 20)),
            ("200%", Ok(2000 << 20)),
            ("64MiB", Ok(64 << 20)),
            (
                "201%",
                Err("`201%` is not a part of the memory: it must be `1%` to `200%`"),
            ),
            (
                "+5%",
                Err("`+5%` is not a part of the memory: it must be `1%` to `200%`"),
            ),
            (
                "%",
                Err("`%` is not a part of the memory: it must be `1%` to `200%`"),
            ),
            (
                "64KiB",
                Err("the size of swap must be 1MiB..=16384GiB, is 64KiB"),
            ),
            (
                "half",
                Err(
                    "`half` is not a size: write a whole number and KiB, MiB or GiB, as in `64MiB`, or how much of the memory, as in `50%`",
                ),
            ),
        ] {
            let read = ZramSize::try_from(text.to_owned());
            let got = read.map(|size| size.of(MEMORY));
            assert_eq!(got, want.map_err(str::to_owned), "{text}");
        }
    }
}
