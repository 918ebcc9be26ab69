//! The tools whose version affects the image's bytes: trixie's own, unpacked into the cache and run
//! through trixie's own dynamic linker, so that every host builds the same image.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::apt::{Apt, Deb};
use crate::digest;
use crate::grub;
use crate::progress::Stage;

/// mkfs.erofs, ldconfig, grub-mkimage, and the boot loaders.
const PACKAGES: &[&str] = &[
    "erofs-utils",
    "libc-bin",
    "grub-common",
    UEFI_BOOT,
    grub::PACKAGE,
];
/// systemd-boot and its stub.
const UEFI_BOOT: &str = "systemd-boot-efi";
/// The packages whose files become part of the image.
const IN_IMAGE: [&str; 2] = [UEFI_BOOT, grub::PACKAGE];

/// debconf is needed by libc6 only to ask questions during upgrades, the others by programs of grub-common that no build runs.
const ASSUMED: &[&str] = &[
    "debconf",
    "gettext-base",
    "libefiboot1t64",
    "libefivar1t64",
    "libfreetype6",
    "libfuse3-4",
];

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

    /// The packages of which files become part of the image.
    pub(crate) fn in_image(&self) -> impl Iterator<Item = &Deb> {
        let of_image = |deb: &&Deb| IN_IMAGE.contains(&deb.package.as_str());
        self.debs.iter().filter(of_image)
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
