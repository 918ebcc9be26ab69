//! A string table, each string once.

use std::collections::HashMap;

/// Strings and their offsets; the empty string is at 0.
#[derive(Debug)]
pub(super) struct Strings<'a> {
    bytes: Vec<u8>,
    offsets: HashMap<&'a [u8], u32>,
}

impl<'a> Strings<'a> {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0],
            offsets: HashMap::from([(&b""[..], 0)]),
        }
    }

    /// The offset of `string`, which is added if it is new; `None` if the table grows over 4 GiB.
    pub(super) fn offset(&mut self, string: &'a [u8]) -> Option<u32> {
        if let Some(offset) = self.offsets.get(string) {
            return Some(*offset);
        }
        let offset = u32::try_from(self.bytes.len()).ok()?;
        self.bytes.extend(string);
        self.bytes.push(0);
        self.offsets.insert(string, offset);
        Some(offset)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}
