//! The kernel's log, including what PID 1 and other processes write to `/dev/kmsg` (kernel
//! documentation, `ABI/testing/dev-kmsg`).

mod record;

use crate::desk::Desk;
use crate::ledger::{Ledger, Mark};
use record::{KERNEL, Record};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;
use tare_log_format::{Priority, push};

const DEVICE: &str = "/dev/kmsg";
/// Its ledger, whose mark is the number of the next record.
const LEDGER: &str = "kmsg";
/// The longest record (`PRINTKRB_RECORD_MAX` and its dictionary).
const LONGEST: usize = 8192;
/// Records read per round, so that a flood of the kernel does not delay other sources.
const AT_ONCE: usize = 256;
/// `O_NONBLOCK`.
const NONBLOCK: i32 = 0o4000;

/// The kernel's log from the first record that is not in our log yet.
pub(crate) struct Kmsg {
    device: File,
    ledger: Ledger,
    noted: Duration,
}

impl Kmsg {
    /// Opens the device, and the ledger in the folder `state`.
    ///
    /// # Errors
    /// When one of them cannot be opened.
    pub(crate) fn open(state: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let device = options.read(true).custom_flags(NONBLOCK).open(DEVICE)?;
        let ledger = Ledger::open(&state.join(LEDGER))?;
        Ok(Self {
            device,
            ledger,
            noted: Duration::ZERO,
        })
    }

    /// Reads the available records, up to a bound. Returns the number of bytes read.
    pub(crate) fn read(&mut self, desk: &mut Desk) -> usize {
        let before = self.ledger.mark();
        let (mut after, mut taken) = (before, 0);
        let mut bytes = [0; LONGEST];
        desk.output.clear();
        desk.note_dropped(KERNEL, &mut after, &mut self.noted);
        for _ in 0..AT_ONCE {
            match self.device.read(&mut bytes) {
                Ok(length) => {
                    taken += length;
                    keep(&bytes[..length], &mut after, desk);
                }
                // The record was overwritten before it was read; the next read returns the oldest
                // that remains.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => break,
            }
        }
        if after != before {
            desk.store.commit(&mut self.ledger, after, &desk.output);
        }
        taken
    }

    /// Whether a read has something to report even if there is no record.
    pub(crate) fn is_busy(&self) -> bool {
        self.ledger.mark().dropped > 0
    }
}

/// Writes one record, unless it is in the log already.
fn keep(bytes: &[u8], mark: &mut Mark, desk: &mut Desk) {
    let Some(record) = Record::parse(bytes).filter(|record| record.number >= mark.done) else {
        return;
    };
    let stamp = desk.store.stamp(desk.now.at(record.since_boot));
    let gone = record.number - mark.done;
    mark.done = record.number + 1;
    if gone > 0 {
        let text = format!("{gone} records were overwritten before they were read");
        let name = [KERNEL, "dropped"];
        push(
            &mut desk.output,
            &stamp,
            Priority::WARNING,
            name,
            text.as_bytes(),
        );
    }
    let (service, text) = record.attributed();
    let name = [&*service, "kmsg"];
    let bucket = desk.buckets.of_claimed(&service, desk.now.since_boot);
    if bucket.take(text.len()) {
        push(
            &mut desk.output,
            &stamp,
            Priority::of(record.priority),
            name,
            &text,
        );
        return;
    }
    mark.dropped += 1;
}

impl AsFd for Kmsg {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

#[cfg(test)]
mod tests;
