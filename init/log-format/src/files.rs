//! The folder: `current.log`, and before it `NUMBER.log`; the highest number is the youngest.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The file that is being written.
pub const CURRENT: &str = "current.log";

/// A file that is complete.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rotated {
    /// Its place among the others.
    pub number: u64,
    /// Where it is.
    pub path: PathBuf,
}

/// The folder of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files(PathBuf);

impl Files {
    /// The log in `folder`.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// The file that is being written.
    #[must_use]
    pub fn current(&self) -> PathBuf {
        self.0.join(CURRENT)
    }

    /// The path of the file with this number.
    #[must_use]
    pub fn rotated_path(&self, number: u64) -> PathBuf {
        self.0.join(format!("{number:08}.log"))
    }

    /// The complete files, oldest first. Files with other names are ignored.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn rotated(&self) -> io::Result<Vec<Rotated>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(".log"));
            let digits = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            if let Some(number) = digits.and_then(|digits| digits.parse().ok()) {
                let path = self.0.join(&name);
                files.push(Rotated { number, path });
            }
        }
        files.sort();
        Ok(files)
    }
}
