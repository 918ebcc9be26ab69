//! Lines that wait in memory for disk space, in a file in the log's state folder that outlives the log but not the
//! boot.
//!
//! `spill-GENERATION` holds the number of lines that were dropped for lack of memory, in 8 bytes, and the lines. When
//! it is full, a part of it moves to the next generation; only the youngest is valid.

use memchr::memrchr;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

const NAME: &str = "spill-";

/// Lines that are not in the files yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many older lines were dropped.
    pub dropped: u64,
    /// Whole lines, with their ends.
    pub lines: Vec<u8>,
}

impl Waiting {
    /// Where lines begin in the file.
    pub const DATA: u64 = 8;

    /// The lines that wait in `folder` now.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(folder: &Path) -> io::Result<Self> {
        while let Some(youngest) = Self::generations(folder)?.pop() {
            match fs::read(Self::path(folder, youngest)) {
                Ok(bytes) => return Ok(Self::decode(bytes)),
                // It was written to the disk meanwhile, or replaced by a younger one.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::default())
    }

    /// The generations in `folder`, the youngest last.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn generations(folder: &Path) -> io::Result<Vec<u64>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_prefix(NAME));
            found.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The file of `generation`.
    #[must_use]
    pub fn path(folder: &Path, generation: u64) -> PathBuf {
        folder.join(format!("{NAME}{generation}"))
    }

    /// Leaves out a line that is just being written.
    fn decode(mut bytes: Vec<u8>) -> Self {
        let Some((dropped, lines)) = bytes.split_first_chunk() else {
            return Self::default();
        };
        let dropped = u64::from_le_bytes(*dropped);
        let whole = memrchr(b'\n', lines).map_or(0, |end| end + 1);
        bytes.drain(..size_of::<u64>());
        bytes.truncate(whole);
        Self {
            dropped,
            lines: bytes,
        }
    }
}
