//! The system's file system: EROFS, made by trixie's mkfs.erofs from a tar archive.

use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

use anyhow::{Context, Result};
use uuid::Uuid;

use crate::archive;
use crate::digest;
use crate::progress::Stage;
use crate::rootfs::tree::Tree;
use crate::tools::Tools;

/// Writes `tree` as the EROFS image `path`, with `time` (seconds since 1970) on everything and
/// compressed as `options` say.
///
/// # Errors
/// A file of the tree cannot be read, or mkfs.erofs fails.
pub(crate) fn make(
    tree: &Tree,
    time: u64,
    options: &[String],
    path: &Path,
    tools: &Tools,
    stage: &Stage,
) -> Result<()> {
    let tar = path.with_extension("tar");
    let file = File::create(&tar).with_context(|| format!("create {}", tar.display()))?;
    archive::write(tree, time, BufWriter::new(file))?;
    let mut mkfs = tools.command("usr/bin/mkfs.erofs");
    mkfs.args(options)
        .args(["--tar=f", "--quiet", "-x-1", "-b4096", "-Ltare-system"])
        // The same time in the superblock and on all files: inodes need no time of their own.
        .arg(format!("-T{time}"))
        .arg(format!("-U{}", uuid(&tar, options)?))
        .arg(path)
        .arg(&tar);
    // mkfs.erofs would write into an older image.
    let _ = fs::remove_file(path);
    stage.run(&mut mkfs)?;
    fs::remove_file(&tar).with_context(|| format!("remove {}", tar.display()))
}

/// Derived from the content, so that equal content gives equal images.
fn uuid(tar: &Path, options: &[String]) -> Result<Uuid> {
    let content = format!("{} {options:?}", digest::hex_of_file(tar)?);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest::bytes(content.as_bytes())[..16]);
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
