//! Parses what the guests print. Pure.

use anyhow::{Context, Result};

/// Processes that the measuring scripts start; not part of the system.
const OURS: &[&str] = &["busybox", "containerd-shim", "docker"];

/// An idle system: bytes of memory, and a count.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Idle {
    /// MemTotal − MemAvailable.
    pub(crate) memory: f64,
    /// Of user space, including the session that counts them.
    pub(crate) processes: f64,
}

impl Idle {
    /// Reads what `guest/idle.sh` wrote.
    ///
    /// # Errors
    /// A line is missing.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let used = number(text, "MemTotal")? - number(text, "MemAvailable")?;
        Ok(Self {
            memory: used * 1024.0,
            processes: number(text, "Processes")?,
        })
    }
}

/// Each process's name and PSS in bytes.
pub(crate) fn processes(text: &str) -> Vec<(String, f64)> {
    let process = |line: &str| {
        let (pss, name) = line.strip_prefix("Process ")?.split_once(' ')?;
        let ours = OURS.contains(&name);
        Some((name.to_owned(), pss.parse::<f64>().ok()? * 1024.0)).filter(|_| !ours)
    };
    text.lines().filter_map(process).collect()
}

/// Resident memory of PID 1 in bytes.
///
/// # Errors
/// There is no such line.
pub(crate) fn pid1_rss(text: &str) -> Result<f64> {
    Ok(number(text, "VmRSS")? * 1024.0)
}

/// Seconds between the two clock readings on each `Run` line.
pub(crate) fn durations(text: &str) -> Vec<f64> {
    let duration = |line: &str| {
        let (start, end) = line.strip_prefix("Run ")?.split_once(' ')?;
        Some(end.parse::<f64>().ok()? - start.parse::<f64>().ok()?)
    };
    text.lines().filter_map(duration).collect()
}

/// The first number after `key`.
///
/// # Errors
/// No line has one.
pub(crate) fn number(text: &str, key: &str) -> Result<f64> {
    let mut values = text
        .lines()
        .filter_map(|line| line.strip_prefix(key)?.trim().parse().ok());
    values
        .next()
        .with_context(|| format!("no {key} in what the guest says: {text}"))
}
