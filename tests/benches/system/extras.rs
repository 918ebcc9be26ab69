//! Makes archives of our own files, and joins archives.

use std::io::{self, Read, Write};
use std::process::Command;

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};
use tare_image::apt::Deb;
use tare_image::progress::Stage;

const RECORD: usize = 512;

/// Files to add to a root filesystem, all owned by root.
pub(crate) struct Extras(Builder<Vec<u8>>);

impl Extras {
    /// Without any files.
    pub(crate) fn new() -> Self {
        Self(Builder::new(Vec::new()))
    }

    /// Adds a folder. Its parent must already exist.
    ///
    /// # Errors
    /// The path is not valid in an archive.
    pub(crate) fn folder(mut self, path: &str, mode: u32) -> Result<Self> {
        self.append(path, mode, EntryType::Directory, &[])?;
        Ok(self)
    }

    /// Adds a file.
    ///
    /// # Errors
    /// As [`Extras::folder`].
    pub(crate) fn file(mut self, path: &str, mode: u32, content: impl AsRef<[u8]>) -> Result<Self> {
        self.append(path, mode, EntryType::Regular, content.as_ref())?;
        Ok(self)
    }

    /// The archive.
    ///
    /// # Errors
    /// None in practice: it is in memory.
    pub(crate) fn bytes(self) -> Result<Vec<u8>> {
        Ok(self.0.into_inner()?)
    }

    fn append(&mut self, path: &str, mode: u32, kind: EntryType, content: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(content.len() as u64);
        self.0
            .append_data(&mut header, path, content)
            .with_context(|| format!("archive {path}"))
    }
}

/// The files of a package, as an archive.
///
/// # Errors
/// dpkg-deb fails.
pub(crate) fn of_package(deb: &Deb, stage: &Stage) -> Result<Vec<u8>> {
    stage.output(
        Command::new("dpkg-deb")
            .arg("--fsys-tarfile")
            .arg(&deb.path),
    )
}

/// Copies the archive `from` to `to` without its trailing empty records, which would hide what follows them.
///
/// # Errors
/// Reading or writing fails, or `from` is truncated.
pub(crate) fn join(mut from: impl Read, to: &mut impl Write) -> io::Result<()> {
    let mut header = Header::new_old();
    loop {
        from.read_exact(header.as_mut_bytes())?;
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        to.write_all(header.as_bytes())?;
        let content = header.entry_size()?.next_multiple_of(RECORD as u64);
        let copied = io::copy(&mut (&mut from).take(content), to)?;
        if copied < content {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}
