//! The floor: Debian's packages on Tare's kernel, under a script that starts sshd and dockerd and nothing else. What
//! it uses is the price of those two. Anything a system uses beyond that is its own price.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tare_config::Service;
use tare_container::seccomp::Profile;
use tare_container::{Users, compile, mount_points, to_json};
use tare_image::apt::{Apt, Deb};
use tare_image::progress::Stage;
use tare_qemu::Key;

use crate::debian::{Debian, with_key, words};
use crate::disk::{self, Folder, inputs};
use crate::extras::{Extras, of_package};
use crate::systems::peer_cmdline;
use crate::tools::Tools;

/// How its PID 1's first line begins.
pub(crate) const FIRST_WORDS: &str = "floor: PID 1";
/// Path of the bundle whose start is measured.
pub(crate) const BUNDLE: &str = "/bench";
const INIT: &str = include_str!("floor/init");
/// The description of that container.
const SERVICE: &str = include_str!("floor/service.toml");
/// Used by measurements inside the floor: another runtime, and the program in the containers.
const PACKAGES: &[&str] = &["busybox-static", "crun"];
/// Packages that the floor already has.
const ASSUMED: &[&str] = &[
    "libc6",
    "libcap2",
    "libgcc-s1",
    "libseccomp2",
    "libsystemd0",
];

/// Its command line. Interfaces keep the kernel's names because there is no udev.
pub(crate) fn cmdline() -> String {
    peer_cmdline("init=/floor-init")
}

/// Its disk, and the package busybox-static.
///
/// # Errors
/// apt or mke2fs fails.
pub(crate) fn disk(
    cache: &Path,
    apt: &Apt<'_>,
    debian: &Debian,
    tools: &Tools,
    key: &Key,
    stage: &Stage,
) -> Result<(PathBuf, PathBuf)> {
    let debs = apt.download(&words(PACKAGES), &words(ASSUMED))?;
    let busybox = debs.iter().find(|deb| deb.package == "busybox-static");
    let busybox = busybox.context("apt gave no busybox-static")?;
    let rootfs = debian.base.disk.as_os_str().as_encoded_bytes();
    let mut archives = vec![own_files(key, busybox, stage)?];
    for deb in &debs {
        archives.push(of_package(deb, stage)?);
    }
    let archives: Vec<_> = archives.iter().map(Vec::as_slice).collect();
    let folder = Folder::of(
        cache,
        "floor",
        &inputs(archives.iter().copied().chain([rootfs])),
    );
    let folder = folder.make(|folder| {
        disk::make(
            &folder.join("disk.raw"),
            &debian.rootfs,
            &archives,
            tools,
            stage,
        )
    })?;
    Ok((folder.join("disk.raw"), busybox.path.clone()))
}

fn own_files(key: &Key, busybox: &Deb, stage: &Stage) -> Result<Vec<u8>> {
    let extras = with_key(Extras::new(), key)?.file("floor-init", 0o755, INIT)?;
    add_bundle(extras, busybox, stage)?.bytes()
}

/// An OCI bundle, as the image builder makes it from a service.
fn add_bundle(extras: Extras, busybox: &Deb, stage: &Stage) -> Result<Extras> {
    let service: Service = toml::from_str(SERVICE).context("floor/service.toml")?;
    let users = Users::parse("root:x:0:0:root:/root:/bin/sh\n");
    let spec = compile("bench", &service, &users)?;
    let profile = Profile::of(&service).context("the measured service has no seccomp profile")?;
    let mut extras = extras
        .folder("bench", 0o755)?
        .file("bench/config.json", 0o644, to_json(&spec)?)?
        .file("bench/seccomp.bpf", 0o644, profile.program())?
        .folder("bench/rootfs", 0o755)?;
    for point in ["usr", "usr/bin"]
        .map(str::to_owned)
        .into_iter()
        .chain(mount_points(&spec))
    {
        extras = extras.folder(
            &format!("bench/rootfs/{}", point.trim_start_matches('/')),
            0o755,
        )?;
    }
    extras.file(
        "bench/rootfs/usr/bin/busybox",
        0o755,
        program(busybox, stage)?,
    )
}

/// The package's only program.
fn program(busybox: &Deb, stage: &Stage) -> Result<Vec<u8>> {
    let archive = of_package(busybox, stage)?;
    for entry in tar::Archive::new(&archive[..]).entries()? {
        let mut entry = entry?;
        if entry.path()?.ends_with("usr/bin/busybox") {
            let mut program = Vec::new();
            std::io::copy(&mut entry, &mut program)?;
            return Ok(program);
        }
    }
    anyhow::bail!("{} has no busybox", busybox.path.display())
}
