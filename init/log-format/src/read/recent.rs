//! The end of the log, without reading all of it.

use super::lines::Lines;
use super::{Reader, open_all};
use crate::record::Record;
use std::collections::VecDeque;
use std::io;

impl Reader {
    /// Skips all but the last `count` of the records that exist now. To be called before the first [`Reader::next`].
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn skip_to_last(&mut self, count: usize) -> io::Result<()> {
        let files = open_all(&self.files);
        let mut files = self.or_memory(files)?;
        self.lines = files.pop();
        let mut last = VecDeque::new();
        while self.next_line()? {
            self.keep(&mut last, &self.line, count);
        }
        while last.len() < count {
            let Some(mut file) = files.pop() else {
                break;
            };
            let mut before = VecDeque::new();
            let read = self.keep_last(&mut before, &mut file, count - last.len());
            self.or_memory(read)?;
            before.append(&mut last);
            last = before;
        }
        self.ahead = last;
        Ok(())
    }

    /// Adds the last `count` wanted lines of `file`.
    fn keep_last(
        &self,
        last: &mut VecDeque<Vec<u8>>,
        file: &mut Lines,
        count: usize,
    ) -> io::Result<()> {
        let mut line = Vec::new();
        while file.next(&mut line)? {
            self.keep(last, &line, count);
        }
        Ok(())
    }

    /// Adds `line` to the last `count` ones, if it is wanted.
    fn keep(&self, last: &mut VecDeque<Vec<u8>>, line: &[u8], count: usize) {
        if Record::parse(line).is_some_and(|record| self.wanted.lets(&record)) {
            last.push_back(line.to_owned());
            if last.len() > count {
                last.pop_front();
            }
        }
    }

    /// The boot that is `back` before the last one with records.
    pub(super) fn boot_back(&mut self, back: usize) -> io::Result<Option<String>> {
        let files = open_all(&self.files);
        let mut files = self.or_memory(files)?;
        let mut boots = VecDeque::new();
        let waiting = self.memory.waiting()?;
        for line in waiting.lines.split(|byte| *byte == b'\n') {
            note_boot(&mut boots, line);
        }
        while boots.len() <= back {
            let Some(mut file) = files.pop() else {
                break;
            };
            let older = boots_in(&mut file);
            let mut older = self.or_memory(older)?;
            if older.back().is_some() && older.back() == boots.front() {
                older.pop_back();
            }
            older.append(&mut boots);
            boots = older;
        }
        Ok(boots.into_iter().nth_back(back))
    }
}

/// The boots that have records in `file`, in their order.
fn boots_in(file: &mut Lines) -> io::Result<VecDeque<String>> {
    let mut boots = VecDeque::new();
    let mut line = Vec::new();
    while file.next(&mut line)? {
        note_boot(&mut boots, &line);
    }
    Ok(boots)
}

fn note_boot(boots: &mut VecDeque<String>, line: &[u8]) {
    if let Some(record) = Record::parse(line) {
        if boots.back().is_none_or(|last| last != record.boot) {
            boots.push_back(record.boot.to_owned());
        }
    }
}
