//! The tools whose version affects the image's bytes: trixie's own, unpacked into the cache and run
//! through trixie's own dynamic linker, so that every host builds the same image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::apt::{Apt, Deb};
use crate::digest;
use crate::progress::Stage;

/// mkfs.erofs, ldconfig, and the boot loader with its stub.
const PACKAGES: &[&str] = &["erofs-utils", "libc-bin", BOOT];
/// Of these, the one whose files become part of the image.
const BOOT: &str = "systemd-boot-efi";

/// Needed by libc6 only to ask questions during upgrades.
const ASSUMED: &[&str] = &["debconf"];

/// A folder with the unpacked packages.
#[derive(Debug)]
pub(crate) struct Tools {
    root: PathBuf,
    id: String,
    debs: Vec<Deb>,
}

impl Tools {
    /// Downloads and unpacks the tools of every build, if they are not in `cache` yet.
    pub(crate) fn open(cache: &Path, apt: &Apt, stage: &Stage) -> Result<Self> {
        Self::of(PACKAGES, ASSUMED, cache, apt, stage)
    }

    /// Downloads and unpacks `packages` and what they depend on, except `assumed`, if they are not in `cache` yet.
    pub(crate) fn of(
        packages: &[&str],
        assumed: &[&str],
        cache: &Path,
        apt: &Apt,
        stage: &Stage,
    ) -> Result<Self> {
        let debs = apt.download(&strings(packages), &strings(assumed))?;
        let hashes: Vec<&str> = debs.iter().map(|deb| deb.sha256.as_str()).collect();
        let id = digest::hex(hashes.join("\n").as_bytes());
        let root = cache.join("tools").join(&id);
        if !root.exists() {
            unpack(&debs, &root, stage).context("unpack the build's tools")?;
        }
        Ok(Self { root, id, debs })
    }

    /// Identifies the versions of all tools.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// The package of the boot loader and its stub.
    ///
    /// # Errors
    /// These are other tools.
    pub(crate) fn boot(&self) -> Result<&Deb> {
        let boot = self.debs.iter().find(|deb| deb.package == BOOT);
        boot.with_context(|| format!("no package {BOOT}"))
    }

    /// A file of the tools' packages, such as the boot loader.
    pub(crate) fn file(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A command that runs `program` (such as `usr/bin/mkfs.erofs`) with trixie's libraries.
    pub(crate) fn command(&self, program: &str) -> Command {
        self.run(&self.file(program))
    }

    /// A command that runs the program at `path`, which may be of another package of trixie, with these libraries.
    pub(crate) fn run(&self, path: &Path) -> Command {
        let mut command = Command::new(self.file("usr/lib64/ld-linux-x86-64.so.2"));
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .arg("--library-path")
            .arg(self.file("usr/lib/x86_64-linux-gnu"))
            .arg(path);
        command
    }
}

fn unpack(debs: &[Deb], root: &Path, stage: &Stage) -> Result<()> {
    let partial = PathBuf::from(format!("{}.{}", root.display(), std::process::id()));
    fs::create_dir_all(&partial)?;
    for deb in debs {
        deb.verify()?;
        let mut command = Command::new("dpkg-deb");
        stage.run(command.arg("--extract").arg(&deb.path).arg(&partial))?;
    }
    // Another build may have been faster; its tools are the same.
    if fs::rename(&partial, root).is_err() {
        fs::remove_dir_all(&partial)?;
    }
    Ok(())
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::testing::refuses_another;

    #[test]
    fn tools_are_the_ones_promised() {
        refuses_another("tools", |deb, folder, stage| {
            unpack(std::slice::from_ref(deb), &folder.join("root"), stage)
        });
    }
}
