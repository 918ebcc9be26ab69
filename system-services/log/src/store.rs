//! Writes lines, each time advancing a source: to the disk, or to memory while that is not possible.

use crate::clock;
use crate::complain;
use crate::disk::{Disk, Limits};
use crate::ledger::{Ledger, Mark, Note};
use crate::spill::{Spill, count};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tare_log_format::{Moment, Priority, Stamp, push};

/// The ledger of what waited in memory; its mark is the last generation written to the disk.
const WAITED: &str = "waited";
/// The time between two checks of how old lines are.
const LOOKS: Duration = Duration::from_secs(3600);
/// The time from the start to the first check. A machine may be restarted often, and by then a wrong clock has mostly
/// been set, which the check takes into account.
const FIRST_LOOK: Duration = Duration::from_secs(300);

pub(crate) struct Store {
    disk: Disk,
    spill: Spill,
    waited: Ledger,
    boot: String,
    sequence: u64,
    failing: bool,
    /// Lines that could be kept neither on the disk nor in memory.
    lost: u64,
    /// When the next check is due, since the boot.
    next_look: Duration,
}

impl Store {
    /// Opens the log in `folder` and undoes the write that a kill of this process interrupted. `state` holds all
    /// ledgers.
    ///
    /// # Errors
    /// When the ledgers cannot be read.
    pub(crate) fn open(
        folder: &Path,
        state: &Path,
        limits: Limits,
        boot: &str,
    ) -> io::Result<Self> {
        let disk = Disk::new(folder, limits);
        let sequence = settle(&disk, state)?;
        let waited = Ledger::open(&state.join(WAITED))?;
        Ok(Self {
            disk,
            spill: Spill::open(state, waited.mark().done)?,
            waited,
            boot: boot.to_owned(),
            sequence,
            failing: false,
            lost: 0,
            next_look: Moment::now().since_boot + FIRST_LOOK,
        })
    }

    /// The prefix of the records of `moment`.
    pub(crate) fn stamp(&self, moment: Moment) -> Stamp {
        Stamp::new(moment, &self.boot)
    }

    /// Appends `lines` and advances the source of `ledger` to `after`: both or neither, whenever this process is
    /// killed.
    pub(crate) fn commit(&mut self, ledger: &mut Ledger, after: Mark, lines: &[u8]) {
        if lines.is_empty() {
            self.sequence += 1;
            // A failure would matter only if the process were killed right after it.
            let _ = ledger.settle(self.sequence, after);
            return;
        }
        if self.spill.is_empty() {
            match write(&mut self.disk, &mut self.sequence, ledger, after, lines) {
                Ok(()) => return,
                Err(error) => self.fail(&error),
            }
        }
        if write(&mut self.spill, &mut self.sequence, ledger, after, lines).is_err() {
            self.lost += count(lines);
            ledger.accept(after);
        }
    }

    /// Retries what could not be written, and maintains the files.
    pub(crate) fn tick(&mut self) {
        self.disk.check();
        if self.waits() {
            if let Err(error) = self.write_waiting() {
                self.fail(&error);
            }
        }
        self.expire(Moment::now(), clock::is_synced());
    }

    /// Checks how old lines are, if that is due.
    fn expire(&mut self, now: Moment, synced: bool) {
        if now.since_boot < self.next_look {
            return;
        }
        self.next_look = now.since_boot + LOOKS;
        if let Err(error) = self.disk.expire(now.wall, synced) {
            complain(&format!("old files: {error}"));
        }
    }

    /// Whether lines wait for the disk.
    pub(crate) fn waits(&self) -> bool {
        !self.spill.is_empty() || self.lost > 0
    }

    /// Syncs everything to the disk.
    pub(crate) fn close(mut self) {
        self.tick();
        self.disk.sync();
    }

    fn write_waiting(&mut self) -> io::Result<()> {
        let (dropped, waiting) = self.spill.contents()?;
        let mut lines = Vec::new();
        if dropped + self.lost > 0 {
            let text = format!(
                "{} lines lost while the disk took none",
                dropped + self.lost
            );
            let stamp = self.stamp(Moment::now());
            push(
                &mut lines,
                &stamp,
                Priority::ERROR,
                ["log", "dropped"],
                text.as_bytes(),
            );
        }
        lines.extend(waiting);
        let after = Mark {
            done: self.spill.generation(),
            dropped: 0,
        };
        write(
            &mut self.disk,
            &mut self.sequence,
            &mut self.waited,
            after,
            &lines,
        )?;
        self.spill.discard();
        self.lost = 0;
        if std::mem::take(&mut self.failing) {
            complain("writing again");
        }
        Ok(())
    }

    /// Reports only the first of several failures in a row.
    fn fail(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.failing, true) {
            complain(&format!(
                "cannot write: {error}; keeping what fits in memory"
            ));
        }
    }
}

trait Target {
    fn place(&mut self, length: u64) -> io::Result<crate::ledger::Place>;
    fn append(&mut self, lines: &[u8]) -> io::Result<()>;
}

impl Target for Disk {
    fn place(&mut self, length: u64) -> io::Result<crate::ledger::Place> {
        Disk::place(self, length)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        Disk::append(self, lines)
    }
}

impl Target for Spill {
    fn place(&mut self, length: u64) -> io::Result<crate::ledger::Place> {
        Spill::place(self, length)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        Spill::append(self, lines)
    }
}

/// Notes what is about to be written, then writes it.
fn write(
    target: &mut impl Target,
    sequence: &mut u64,
    ledger: &mut Ledger,
    after: Mark,
    lines: &[u8],
) -> io::Result<()> {
    let place = target.place(lines.len() as u64)?;
    *sequence += 1;
    // A write that is not noted would be duplicated only if this process were killed now.
    let _ = ledger.intend(*sequence, place, after);
    if let Err(error) = target.append(lines) {
        let _ = ledger.settle(*sequence, ledger.mark());
        return Err(error);
    }
    ledger.accept(after);
    Ok(())
}

/// Examines the write that was noted last, the only one that may have been interrupted, and if so undoes it. Returns
/// the highest sequence number.
fn settle(disk: &Disk, state: &Path) -> io::Result<u64> {
    let Some((path, last)) = last_note(state)? else {
        return Ok(0);
    };
    let finished = match Spill::open(state, 0)?.finished(last.place)? {
        Some(finished) => finished,
        // If the disk cannot be read, the write counts as complete.
        None => disk.finished(last.place).unwrap_or(true),
    };
    if !finished {
        Ledger::open(&path)?.settle(last.sequence, last.before)?;
    }
    Ok(last.sequence)
}

fn last_note(state: &Path) -> io::Result<Option<(PathBuf, Note)>> {
    let mut last: Option<(PathBuf, Note)> = None;
    for entry in fs::read_dir(state)? {
        let path = entry?.path();
        let Some(note) = Ledger::look(&path) else {
            continue;
        };
        if last
            .as_ref()
            .is_none_or(|(_, last)| last.sequence < note.sequence)
        {
            last = Some((path, note));
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests;
