//! What is on a host's root filesystem, outside containers.

use std::fs::{self, File, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use anyhow::{Context, Result};
use tar::{Archive, EntryType};
use tare_image::Image;
use tare_image::progress::Stage;

use crate::tools::Tools;

/// Any of the three execute bits.
const EXECUTE: u32 = 0o111;
/// Setuid and setgid.
const SET_ID: u32 = 0o6000;
/// Where Tare keeps the containers' root filesystems.
const CONTAINERS: &str = "services";

/// File counts, and the size of PID 1's executable in bytes.
#[derive(Debug, Default, Clone, Copy, PartialEq)]
pub(crate) struct HostRoot {
    /// Regular files with any execute bit.
    pub(crate) executables: f64,
    /// Those of them with setuid or setgid.
    pub(crate) setuid: f64,
    /// The size of PID 1's executable; 0 if it is a link, because systemd is mostly libraries.
    pub(crate) pid1: f64,
}

impl HostRoot {
    #[expect(clippy::cast_precision_loss, reason = "no program has 2^53 bytes")]
    fn count(&mut self, path: &Path, mode: u32, size: u64) {
        if mode & EXECUTE != 0 {
            self.executables += 1.0;
        }
        if mode & EXECUTE != 0 && mode & SET_ID != 0 {
            self.setuid += 1.0;
        }
        if path.ends_with("usr/sbin/init") {
            self.pid1 = size as f64;
        }
    }

    fn walk(&mut self, folder: &Path) -> Result<()> {
        for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            let file: Metadata = fs::symlink_metadata(&path)?;
            if file.is_dir() && !path.ends_with(CONTAINERS) {
                self.walk(&path)?;
            }
            if file.is_file() {
                self.count(&path, file.mode(), file.len());
            }
        }
        Ok(())
    }
}

/// Counts the files of Tare's system image.
///
/// # Errors
/// fsck.erofs cannot unpack it.
pub(crate) fn of_tare(
    image: &Image,
    tools: &Tools,
    cache: &Path,
    stage: &Stage,
) -> Result<HostRoot> {
    stage.message("unpacking Tare's root");
    let folder = cache.join("system");
    let mut unpack = tools.command("usr/bin/fsck.erofs");
    unpack
        .arg(format!("--extract={}", folder.display()))
        .args(["--overwrite", "--preserve-perms", "--no-preserve-owner"])
        .arg(&image.system);
    stage.run(&mut unpack)?;
    let mut root = HostRoot::default();
    root.walk(&folder)?;
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(root)
}

/// Counts the files of a root filesystem in an archive.
///
/// # Errors
/// It cannot be read.
pub(crate) fn of_archive(archive: &Path) -> Result<HostRoot> {
    let mut root = HostRoot::default();
    let mut archive = Archive::new(File::open(archive)?);
    for entry in archive.entries()? {
        let entry = entry?;
        if entry.header().entry_type() == EntryType::Regular {
            root.count(&entry.path()?, entry.header().mode()?, entry.size());
        }
    }
    Ok(root)
}
