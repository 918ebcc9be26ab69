//! Determines the contents of a partition with `blkid(8)`, which knows some eighty kinds.

use crate::ext4::{self, Backup, LABEL, Superblock};
use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;

/// How much from the start must be zeros for a partition to count as blank, in bytes: all of the `state` partition of
/// an image file. Fewer zeros may be part of a damaged file system.
pub(crate) const BLANK: u64 = 64 << 20;
/// Bytes per read.
const PIECE: usize = 1 << 20;

/// The contents of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing.
    Blank,
    /// A file system of ours with a sound superblock.
    Ext4(Superblock),
    /// A file system of ours whose superblock is damaged; this backup of it is sound.
    Damaged(Backup),
    /// Anything else, described in words.
    Foreign(String),
}

impl Contents {
    /// Whether the partition may be written to.
    pub(crate) fn is_ours(&self) -> bool {
        !matches!(self, Self::Foreign(_))
    }
}

/// The result of `blkid`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Nothing,
    /// An ext4, or in words why it is not ours.
    Ext4(Result<(), String>),
    /// In words.
    Other(String),
}

/// Examines `device`. If it is `marked` as not yet formatted and nothing is found on it, it counts as blank.
///
/// # Errors
/// When it cannot be read, or `blkid` cannot be run.
pub(crate) fn contents(device: &Path, marked: bool) -> io::Result<Contents> {
    let file = File::open(device)?;
    // blkid does not distinguish an unreadable device from an empty one.
    ext4::read(&file, 0, PIECE)?;
    match blkid(device)? {
        Found::Other(what) => Ok(Contents::Foreign(what)),
        Found::Ext4(ours) => ext4(&file, ours),
        Found::Nothing => unrecognized(&file, marked),
    }
}

/// `ours` is an error if the label differs, which may be due to damage that `blkid` does not see.
fn ext4(file: &File, ours: Result<(), String>) -> io::Result<Contents> {
    let superblock = ext4::superblock(file)?;
    Ok(match (superblock, ours) {
        (Some(superblock), Ok(())) => Contents::Ext4(superblock),
        (Some(_), Err(other)) => Contents::Foreign(other),
        (None, ours) => {
            let other = || {
                ours.err()
                    .unwrap_or_else(|| "an ext4 without checksums".to_owned())
            };
            ext4::remains(file, 0).map_or_else(|| Contents::Foreign(other()), Contents::Damaged)
        }
    })
}

fn unrecognized(file: &File, marked: bool) -> io::Result<Contents> {
    let zeros = zeros(file)?;
    if marked || zeros >= BLANK {
        return Ok(Contents::Blank);
    }
    let unknown = || Contents::Foreign("not ext4 and not empty".to_owned());
    Ok(ext4::remains(file, zeros).map_or_else(unknown, Contents::Damaged))
}

/// The number of zero bytes at the start of `file`; at most `BLANK`, and `BLANK` if the file is shorter and all
/// zeros.
pub(crate) fn zeros(file: &File) -> io::Result<u64> {
    let pieces = 0..BLANK / PIECE as u64;
    for at in pieces.map(|piece| piece * PIECE as u64) {
        let bytes = ext4::read(file, at, PIECE)?;
        if let Some(zeros) = bytes.iter().position(|byte| *byte != 0) {
            return Ok(at + zeros as u64);
        }
    }
    Ok(BLANK)
}

fn blkid(device: &Path) -> io::Result<Found> {
    Ok(match probe(device)? {
        Probe::Nothing => Found::Nothing,
        Probe::Text(text) => found(&text),
        Probe::Ambivalent => Found::Other("more than one kind of content".to_owned()),
    })
}

/// What `blkid` has found.
#[derive(Debug)]
pub(crate) enum Probe {
    Nothing,
    /// One `KEY=VALUE` per line.
    Text(String),
    /// Signatures of several kinds.
    Ambivalent,
}

/// Has `blkid` look for signatures on `device`.
///
/// # Errors
/// When it cannot be run, or fails.
pub(crate) fn probe(device: &Path) -> io::Result<Probe> {
    let mut blkid = Command::new("/usr/sbin/blkid");
    blkid.args(["--probe", "--output", "export"]).arg(device);
    let output = blkid
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("blkid: {error}")))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match output.status.code() {
        Some(0) => Ok(Probe::Text(text.into_owned())),
        Some(2) => Ok(Probe::Nothing),
        Some(8) => Ok(Probe::Ambivalent),
        _ => Err(io::Error::other(format!(
            "blkid: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        ))),
    }
}

/// Parses the output of `blkid --output export`, one `KEY=VALUE` per line.
fn found(text: &str) -> Found {
    let value = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    match (value("TYPE"), value("LABEL"), value("PTTYPE")) {
        (Some("ext4"), Some(LABEL), _) => Found::Ext4(Ok(())),
        (Some(kind), label, _) => {
            let label = label.map(|label| format!(" labelled \"{label}\""));
            let what = kind.to_owned() + &label.unwrap_or_default();
            match kind {
                "ext2" | "ext3" | "ext4" => Found::Ext4(Err(what)),
                _ => Found::Other(what),
            }
        }
        (None, _, Some(kind)) => Found::Other(format!("a partition table ({kind})")),
        // These lines are about the partition, not its contents.
        (None, _, None) if text.lines().all(is_about_partition) => Found::Nothing,
        (None, _, None) => Found::Other("content that blkid does not name".to_owned()),
    }
}

/// Whether a line of `blkid` is about the partition, not its contents.
pub(crate) fn is_about_partition(line: &str) -> bool {
    let known = ["DEVNAME=", "PART_ENTRY_"];
    line.is_empty() || known.iter().any(|key| line.starts_with(key))
}

#[cfg(test)]
mod tests;
