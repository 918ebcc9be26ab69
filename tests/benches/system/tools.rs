//! Programs from trixie, unpacked into the cache and run with trixie's libraries. Debian 12's mke2fs cannot read
//! archives, and its fsck.erofs does not support all of today's EROFS.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tare_image::apt::Apt;
use tare_image::progress::Stage;

use crate::debian::words;
use crate::disk::{Folder, inputs};

/// mke2fs loads libarchive only when it reads an archive, so it is not a dependency.
const PACKAGES: &[&str] = &["e2fsprogs", "erofs-utils", "libarchive13t64"];
/// libc6 needs this only to ask questions during upgrades.
const ASSUMED: &[&str] = &["debconf"];

/// A folder with the unpacked packages.
#[derive(Debug)]
pub(crate) struct Tools(PathBuf);

impl Tools {
    /// Downloads and unpacks them, if they are not in `cache`.
    ///
    /// # Errors
    /// apt or dpkg-deb fails.
    pub(crate) fn open(cache: &Path, apt: &Apt<'_>, stage: &Stage) -> Result<Self> {
        let debs = apt.download(&words(PACKAGES), &words(ASSUMED))?;
        let hashes = debs.iter().map(|deb| deb.sha256.as_bytes());
        let folder = Folder::of(cache, "tools", &inputs(hashes));
        let root = folder.make(|root| {
            for deb in &debs {
                let mut extract = Command::new("dpkg-deb");
                stage.run(extract.arg("--extract").arg(&deb.path).arg(root))?;
            }
            Ok(())
        })?;
        Ok(Self(root))
    }

    /// A command that runs `program`, such as `usr/sbin/mke2fs`.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.0.join("usr/lib64/ld-linux-x86-64.so.2"));
        command
            .arg("--library-path")
            .arg(self.0.join("usr/lib/x86_64-linux-gnu"))
            .arg(self.0.join(program));
        command
    }
}
