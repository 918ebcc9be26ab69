//! Shared by all sources to write records: the store, the limits, the time, and reusable buffers.

use crate::ledger::Mark;
use crate::limit::{Bucket, Buckets};
use crate::store::Store;
use std::time::Duration;
use tare_log_format::{Moment, Priority, Stamp, push};

/// The least time between two records of dropped lines.
const NOTES: Duration = Duration::from_secs(1);

pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) buckets: Buckets,
    /// When this round began.
    pub(crate) now: Moment,
    stamp: Stamp,
    /// Bytes read from a source.
    pub(crate) input: Vec<u8>,
    /// Records to write.
    pub(crate) output: Vec<u8>,
}

/// Takes the lines of one service.
pub(crate) struct Page<'a> {
    stamp: &'a Stamp,
    bucket: &'a mut Bucket,
    output: &'a mut Vec<u8>,
}

impl Desk {
    pub(crate) fn new(store: Store, buckets: Buckets) -> Self {
        let now = Moment::now();
        Self {
            stamp: store.stamp(now),
            store,
            buckets,
            now,
            input: Vec::new(),
            output: Vec::new(),
        }
    }

    /// Begins a round: everything read in it has the current time.
    pub(crate) fn begin(&mut self) {
        self.now = Moment::now();
        self.stamp = self.store.stamp(self.now);
    }

    /// Takes lines of `service`.
    pub(crate) fn page(&mut self, service: &str) -> Page<'_> {
        Page {
            stamp: &self.stamp,
            bucket: self.buckets.of(service, self.now.since_boot),
            output: &mut self.output,
        }
    }

    /// Records how many lines of `service` were dropped, unless that was `noted` less than a second ago.
    pub(crate) fn note_dropped(&mut self, service: &str, mark: &mut Mark, noted: &mut Duration) {
        let now = self.now.since_boot;
        if mark.dropped == 0 || now.saturating_sub(*noted) < NOTES {
            return;
        }
        let (lines, rate) = (std::mem::take(&mut mark.dropped), self.buckets.rate());
        let text = format!("{lines} lines dropped: more than {rate} a second");
        let name = [service, "dropped"];
        push(
            &mut self.output,
            &self.stamp,
            Priority::WARNING,
            name,
            text.as_bytes(),
        );
        *noted = now;
    }
}

impl Page<'_> {
    /// Writes a line; false if it is over the limit.
    pub(crate) fn write(&mut self, priority: Priority, name: [&str; 2], text: &[u8]) -> bool {
        let may = self.bucket.take(text.len());
        if may {
            push(self.output, self.stamp, priority, name, text);
        }
        may
    }
}
