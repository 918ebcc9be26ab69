//! Crash records of the kernel in pstore (kernel documentation, `ABI/testing/pstore`), stored in firmware variables
//! (efi) or in memory that survives a reboot (ramoops).
//!
//! They are moved to `crash/TIME` next to the log's files, each unchanged, with the kernel's messages combined in
//! `dmesg.txt`. The firmware has little room, so they are removed there once they are on the disk.

mod parts;

use crate::desk::Desk;
use crate::hash::fnv1a;
use crate::ledger::{Ledger, Mark};
use parts::Part;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tare_log_format::{Priority, push};

/// Next to the log's files.
const FOLDER: &str = "crash";
/// The kernel's messages, combined.
const TOGETHER: &str = "dmesg.txt";
/// Its ledger, whose mark identifies the last crash noted in the log.
const LEDGER: &str = "crash";
/// The number of crashes that are kept; the oldest are removed.
const KEPT: usize = 16;
/// The priority of the note: `crit`.
const CRITICAL: u32 = 2;

/// Moves the records in `pstore` to the folder of the `log` and notes the crash.
///
/// # Errors
/// When a record cannot be moved; it stays where it is.
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

/// When the record was written, according to the kernel.
fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

/// Copies `found` to `folder` and combines what is there: an earlier run may have copied a part.
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

/// Notes the crash in the log, once.
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

/// Removes the oldest crashes; their names are times.
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
