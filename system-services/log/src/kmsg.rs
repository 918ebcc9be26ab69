//! The kernel's log, with what PID 1 and others write to `/dev/kmsg`
//! (kernel documentation, `ABI/testing/dev-kmsg`).

use crate::line::{Entry, Moment};
use crate::store::Store;
use crate::syslog::severity;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

const DEVICE: &str = "/dev/kmsg";
/// Beside the socket, in a directory that lives as long as the kernel's numbers do: a boot.
const POSITION: &str = "kmsg.next";
/// The longest record (`PRINTKRB_RECORD_MAX` and its dictionary).
const LONGEST: usize = 8192;
/// Records read at once, so that a flood of the kernel does not keep others waiting.
const AT_ONCE: usize = 256;
/// How `write_at`'s file and the reader's are opened without waiting (`O_NONBLOCK`).
const NONBLOCK: i32 = 0o4000;

/// The kernel's log from the first record that has not been kept.
pub(crate) struct Kmsg {
    device: File,
    /// Holds `next`, for after a restart.
    position: Option<File>,
    next: u64,
}

impl Kmsg {
    /// Opens the device; the position is kept in the directory `shared`.
    ///
    /// # Errors
    /// When the device cannot be opened.
    pub(crate) fn open(shared: &Path) -> io::Result<Self> {
        let device = OpenOptions::new()
            .read(true)
            .custom_flags(NONBLOCK)
            .open(DEVICE)?;
        let position = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(shared.join(POSITION))
            .inspect_err(|error| eprintln!("{POSITION}: {error}"))
            .ok();
        let next = position.as_ref().and_then(read_position).unwrap_or(0);
        Ok(Self {
            device,
            position,
            next,
        })
    }

    /// Takes the records that are there; false if there may be more.
    pub(crate) fn read(&mut self, store: &mut Store) -> bool {
        let mut record = [0; LONGEST];
        let now = Moment::now();
        for _ in 0..AT_ONCE {
            match self.device.read(&mut record) {
                Ok(length) => self.take(&record[..length], now, store),
                // Overwritten before it was read: the next read is of the oldest that remains.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(_) => return true,
            }
        }
        false
    }

    fn take(&mut self, record: &[u8], now: Moment, store: &mut Store) {
        let Some(record) = Record::parse(record).filter(|record| record.number >= self.next) else {
            return;
        };
        self.next = record.number + 1;
        store.push(&Entry {
            at: now.at(record.since_boot),
            who: "kernel",
            place: severity(record.priority),
            text: record.text,
        });
    }

    /// Keeps the position for after a restart.
    pub(crate) fn remember(&self) {
        if let Some(position) = &self.position {
            // A position that is not kept costs lines that are there twice.
            let _ = position.write_all_at(&self.next.to_le_bytes(), 0);
        }
    }
}

impl AsFd for Kmsg {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.device.as_fd()
    }
}

fn read_position(file: &File) -> Option<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, 0).ok()?;
    Some(u64::from_le_bytes(bytes))
}

/// `PRIORITY,NUMBER,MICROSECONDS,FLAGS…;TEXT` and lines of a dictionary, which are left out.
#[derive(Debug, PartialEq, Eq)]
struct Record<'a> {
    priority: u32,
    number: u64,
    since_boot: Duration,
    text: &'a [u8],
}

impl<'a> Record<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let split = bytes.iter().position(|byte| *byte == b';')?;
        let (head, body) = (
            std::str::from_utf8(&bytes[..split]).ok()?,
            &bytes[split + 1..],
        );
        let mut fields = head.split(',');
        Some(Self {
            priority: fields.next()?.parse().ok()?,
            number: fields.next()?.parse().ok()?,
            since_boot: Duration::from_micros(fields.next()?.parse().ok()?),
            text: body.split(|byte| *byte == b'\n').next()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (bytes, want) in [
            (
                &b"6,339,5140900,-;NET: Registered protocol family 10\n SUBSYSTEM=net\n"[..],
                Some((
                    6,
                    339,
                    5_140_900,
                    &b"NET: Registered protocol family 10"[..],
                )),
            ),
            (
                b"30,340,5690716,c,caller=T1;a;b\n",
                Some((30, 340, 5_690_716, b"a;b")),
            ),
            (b"6,339;text\n", None),
            (b"no record", None),
        ] {
            let found = Record::parse(bytes).map(|record| {
                let micros = record.since_boot.as_micros();
                (record.priority, record.number, micros, record.text)
            });
            assert_eq!(found, want, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
