//! Makes a disk with one ext4 filesystem from archives, without privileges.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tare_image::digest;
use tare_image::progress::Stage;
use tare_qemu::{Base, DiskFormat, Firmware};

use crate::extras::join;
use crate::tools::Tools;

/// Size of a peer's disk in bytes: room for its packages and some container images.
pub(crate) const SIZE: u64 = 4 << 30;

/// A cache folder for output made from given inputs.
pub(crate) struct Folder {
    kind: PathBuf,
    inputs: String,
}

impl Folder {
    /// The folder of `kind` for `inputs`.
    pub(crate) fn of(cache: &Path, kind: &str, inputs: &str) -> Self {
        Self {
            kind: cache.join(kind),
            inputs: inputs.to_owned(),
        }
    }

    /// Returns the folder. If it does not exist, `fill` fills it, and the folders for other inputs are removed.
    ///
    /// # Errors
    /// Those of `fill`, and of moving folders.
    pub(crate) fn make(&self, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let done = self.kind.join(&self.inputs);
        if done.exists() {
            return Ok(done);
        }
        if self.kind.exists() {
            fs::remove_dir_all(&self.kind)
                .with_context(|| format!("remove {}", self.kind.display()))?;
        }
        let partial = self.kind.join("partial");
        fs::create_dir_all(&partial).with_context(|| format!("create {}", partial.display()))?;
        fill(&partial)?;
        fs::rename(&partial, &done).with_context(|| format!("rename {}", partial.display()))?;
        Ok(done)
    }
}

/// A single name for all `parts`.
pub(crate) fn inputs<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let hashes = parts.into_iter().map(digest::bytes);
    digest::hex(hashes.collect::<Vec<_>>().as_flattened())
}

/// Makes the disk `path` from the archive `rootfs` and the further archives `extras`.
///
/// # Errors
/// An archive cannot be read, or mke2fs fails.
pub(crate) fn make(
    path: &Path,
    rootfs: &Path,
    extras: &[&[u8]],
    tools: &Tools,
    stage: &Stage,
) -> Result<()> {
    stage.message("file system");
    let all = path.with_extension("tar");
    let mut out = File::create(&all).with_context(|| format!("create {}", all.display()))?;
    join(File::open(rootfs)?, &mut out).with_context(|| format!("copy {}", rootfs.display()))?;
    for extra in extras {
        join(*extra, &mut out)?;
    }
    end_archive(&mut out)?;
    let mut mke2fs = tools.command("usr/sbin/mke2fs");
    mke2fs
        .args(["-q", "-t", "ext4", "-d"])
        .args([&all, path])
        .arg(format!("{}K", SIZE / 1024));
    stage.run(&mut mke2fs)?;
    fs::remove_file(&all).with_context(|| format!("remove {}", all.display()))
}

/// An archive ends with two empty records.
fn end_archive(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[0; 1024])
}

/// A base whose kernel QEMU loads.
pub(crate) fn base(disk: PathBuf, kernel: &Path, initrd: Option<&Path>, cmdline: &str) -> Base {
    let direct = Firmware::Direct {
        kernel: kernel.to_owned(),
        initrd: initrd.map(Path::to_owned),
        cmdline: cmdline.to_owned(),
    };
    Base {
        disk,
        format: DiskFormat::Raw,
        size: None,
        direct: Some(direct),
    }
}
