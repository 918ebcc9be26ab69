//! Numbers that the kernel accepts only within a range. With any other, a service would not start.

use crate::Bytes;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::fmt::Debug;
use std::ops::RangeInclusive;

/// At least what the smallest program needs; 0 does not mean "no limit".
pub(crate) fn memory_max<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Bytes>, D::Error> {
    const LEAST: Bytes = Bytes::mib(1);
    match Option::<Bytes>::deserialize(from)? {
        Some(max) if max < LEAST => Err(D::Error::custom(format!(
            "memory-max must be {} or more, is {}",
            String::from(LEAST),
            String::from(max)
        ))),
        max => Ok(max),
    }
}

/// Up to the kernel's `PID_MAX_LIMIT` (`include/linux/threads.h`).
pub(crate) fn pids_max<'de, D: Deserializer<'de>, T: From<u32>>(from: D) -> Result<T, D::Error> {
    within("pids-max", 0..=4_194_304, from)
}

/// The range of `cpu.weight` in `Documentation/admin-guide/cgroup-v2.rst`.
pub(crate) fn cpu_weight<'de, D: Deserializer<'de>, T: From<u16>>(from: D) -> Result<T, D::Error> {
    within("cpu-weight", 1..=10_000, from)
}

/// The range in `proc_pid_oom_score_adj(5)`.
pub(crate) fn oom_score_adj<'de, D: Deserializer<'de>, T: From<i16>>(
    from: D,
) -> Result<T, D::Error> {
    within("oom-score-adj", -1000..=1000, from)
}

/// At least what a program needs to load its libraries, besides its standard streams; at most the kernel's
/// `fs.nr_open`.
pub(crate) fn open_files<'de, D: Deserializer<'de>, T: From<u32>>(from: D) -> Result<T, D::Error> {
    within("open-files", 16..=1_048_576, from)
}

/// At least one start: with none, a service would not start at all.
pub(crate) fn starts<'de, D: Deserializer<'de>, T: From<u32>>(from: D) -> Result<T, D::Error> {
    within("starts", 1..=u32::MAX, from)
}

fn within<'de, D, N, T>(key: &str, range: RangeInclusive<N>, from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<i64> + PartialOrd + Debug,
    T: From<N>,
{
    let number = i64::deserialize(from)?;
    match N::try_from(number) {
        Ok(fits) if range.contains(&fits) => Ok(fits.into()),
        _ => Err(D::Error::custom(format!(
            "{key} must be {range:?}, is {number}"
        ))),
    }
}
