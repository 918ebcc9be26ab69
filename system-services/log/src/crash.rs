//! What the kernel left behind when it died: records of pstore (kernel documentation, `ABI/testing/pstore`), kept in
//! variables of the firmware (efi) or in memory that a restart leaves alone (ramoops).
//!
//! They are moved to `crash/TIME` beside the log's files: each as it was, and the kernel's last words together in
//! `dmesg.txt`. The firmware has little room, so they are removed there once the disk has them.

mod parts;

use crate::desk::Desk;
use crate::hash::fnv1a;
use crate::ledger::{Ledger, Mark};
use parts::Part;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tare_log::{Priority, push};

/// Beside the log's files.
const FOLDER: &str = "crash";
/// The kernel's last words.
const TOGETHER: &str = "dmesg.txt";
/// Its ledger, whose mark tells which crash has been noted in the log.
const LEDGER: &str = "crash";
/// Crashes that are kept; the oldest go.
const KEPT: usize = 16;
/// How important it is: `crit`.
const CRITICAL: u32 = 2;

/// Moves what is in `pstore` to the folder of the `log`, and notes it.
///
/// # Errors
/// When something cannot be moved; it stays where it is.
pub(crate) fn collect(pstore: &Path, log: &Path, state: &Path, desk: &mut Desk) -> io::Result<()> {
    let found = list(pstore)?;
    let Some(time) = found.iter().filter_map(|path| modified(path)).max() else {
        return Ok(());
    };
    let name = humantime::format_rfc3339_seconds(time).to_string();
    let folder = log.join(FOLDER).join(&name);
    keep(&found, &folder)?;
    note(&name, &folder, state, desk)?;
    found.iter().try_for_each(fs::remove_file)?;
    forget(&log.join(FOLDER))
}

/// The files in `folder`, sorted by name.
fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries: io::Result<Vec<PathBuf>> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect();
    let mut entries = entries?;
    entries.retain(|path| path.is_file());
    entries.sort();
    Ok(entries)
}

/// When the record was written, as the kernel remembers.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Copies `found` to `folder`, and puts together what is there: an earlier run may have copied a part.
fn keep(found: &[PathBuf], folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    for path in found {
        let name = path.file_name().unwrap_or_default();
        write(&folder.join(name), &fs::read(path)?)?;
    }
    let mut parts = Vec::new();
    for path in list(folder)? {
        parts.extend(Part::parse(&fs::read(path)?));
    }
    write(&folder.join(TOGETHER), &parts::together(parts))?;
    File::open(folder)?.sync_all()
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// A line of the log, once.
fn note(name: &str, folder: &Path, state: &Path, desk: &mut Desk) -> io::Result<()> {
    let mut ledger = Ledger::open(&state.join(LEDGER))?;
    let after = Mark {
        done: fnv1a(name.as_bytes()),
        dropped: 0,
    };
    if ledger.mark() == after {
        return Ok(());
    }
    let words = fs::read(folder.join(TOGETHER))?;
    let reason = parts::reason(&words);
    let text = format!("an earlier boot crashed, see {FOLDER}/{name}: {reason}");
    let (stamp, priority) = (desk.store.stamp(desk.now), Priority::of(CRITICAL));
    desk.output.clear();
    push(
        &mut desk.output,
        &stamp,
        priority,
        ["kernel", "pstore"],
        text.as_bytes(),
    );
    desk.store.commit(&mut ledger, after, &desk.output);
    Ok(())
}

/// Removes the oldest crashes: their names are times.
fn forget(folder: &Path) -> io::Result<()> {
    let entries: io::Result<Vec<PathBuf>> = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect();
    let mut crashes = entries?;
    crashes.sort();
    let old = crashes.len().saturating_sub(KEPT);
    crashes.iter().take(old).try_for_each(fs::remove_dir_all)
}

#[cfg(test)]
mod tests;
