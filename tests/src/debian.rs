//! Debian packages without their installation: programs for tests, and container images that come from no registry.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use tare_image::apt::Apt;
use tare_image::cache;
use tare_image::progress::{Progress, Stage};
use tare_qemu::{Disk, DiskBus, DiskFormat, Vm, secs, target};

/// Unpacks `packages` and what they depend on into the folder `root`, which need not exist. Packages that are `assumed`
/// are left out, with what only they depend on.
///
/// # Errors
/// The packages cannot be downloaded or unpacked.
pub fn unpack(root: &Path, packages: &[&str], assumed: &[&str], stage: &Stage) -> Result<()> {
    // Debian's packages expect these links (https://wiki.debian.org/UsrMerge).
    for name in ["bin", "sbin", "lib", "lib64"] {
        fs::create_dir_all(root.join("usr").join(name))?;
        symlink(format!("usr/{name}"), root.join(name))?;
    }
    let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
    let apt = Apt::open(&cache::root()?, stage)?;
    for deb in apt.download(&words(packages), &words(assumed))? {
        let mut extract = Command::new("dpkg-deb");
        stage.run(extract.arg("--extract").arg(&deb.path).arg(root))?;
    }
    Ok(())
}

/// A disk, made in `folder`, that holds `packages` as a tar archive, for [`import`].
///
/// # Errors
/// Those of [`unpack`], or the archive cannot be made.
pub fn disk(folder: &Path, packages: &[&str], assumed: &[&str]) -> Result<Disk> {
    let (root, path) = (folder.join("debian"), folder.join("debian.tar"));
    Progress::new(&target().join("log")).stage("Debian packages", |stage| {
        unpack(&root, packages, assumed, stage)?;
        let mut tar = Command::new("tar");
        // A quarter of the files, which an emulated machine takes long to unpack.
        tar.args(["doc", "locale", "man"].map(|unread| format!("--exclude=./usr/share/{unread}")));
        stage.run(tar.arg("-C").arg(&root).arg("-cf").arg(&path).arg("."))
    })?;
    fs::remove_dir_all(&root)?;
    Ok(Disk {
        path,
        format: DiskFormat::Raw,
        bus: DiskBus::Virtio,
        read_only: true,
    })
}

/// Makes the image `name` in the machine from the disk of [`disk`], which is `device` there.
///
/// # Errors
/// The engine does not import it.
pub fn import(vm: &Vm, device: &str, name: &str) -> Result<()> {
    // Without a log, which would hold the archive as well.
    let read = format!("docker run --rm --privileged --log-driver none tare/demo cat {device}");
    vm.ssh_within(&format!("{read} | docker import - {name}"), secs(180))
        .map(drop)
}
