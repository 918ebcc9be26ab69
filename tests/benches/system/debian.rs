//! Debian with systemd, OpenSSH and Docker, as mmdebstrap makes it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use tar::Archive;
use tare_image::apt::Apt;
use tare_image::progress::Stage;
use tare_qemu::{Base, Key};

use crate::disk::{self, Folder, inputs};
use crate::extras::Extras;
use crate::systems::peer_cmdline;
use crate::tools::Tools;

/// On top of Debian's required packages: what the comparison is about, what logging in and the power button
/// need, the tools of Tare's shell, and Debian's kernel for virtual machines. Without recommended packages it
/// is leaner than what an installer leaves behind.
const PACKAGES: &[&str] = &[
    "ca-certificates",
    "chrony",
    "curl",
    "dbus",
    "docker-cli",
    "docker-compose",
    "docker.io",
    "initramfs-tools",
    "iproute2",
    "less",
    "libpam-systemd",
    "linux-image-cloud-amd64",
    "openssh-server",
    "procps",
    "systemd-sysv",
    "udev",
    "vim-tiny",
    "zstd",
];

/// Matches any name that systemd may give the interface, because its network card may be anywhere.
const NETWORK: &str = "[Match]\nName=en* eth*\n\n[Network]\nDHCP=yes\n";

/// mmdebstrap's last step: enables what an administrator would enable.
const ENABLE: &str = r#"--customize-hook=chroot "$1" systemctl enable systemd-networkd"#;

/// The system and the archive it is made from.
#[derive(Debug)]
pub(crate) struct Debian {
    /// Its root filesystem.
    pub(crate) rootfs: PathBuf,
    /// Disk, kernel and initramfs.
    pub(crate) base: Base,
}

impl Debian {
    /// Builds it, or finds it in `cache`.
    ///
    /// # Errors
    /// mmdebstrap or mke2fs fails.
    pub(crate) fn make(
        cache: &Path,
        apt: &Apt<'_>,
        tools: &Tools,
        key: &Key,
        stage: &Stage,
    ) -> Result<Self> {
        let rootfs = rootfs(cache, apt, stage)?;
        let extras = with_key(Extras::new(), key)?
            .file("etc/hostname", 0o644, "bench\n")?
            .file("etc/systemd/network/80-dhcp.network", 0o644, NETWORK)?
            .bytes()?;
        let name = rootfs
            .parent()
            .and_then(Path::file_name)
            .unwrap_or_default();
        let folder = Folder::of(cache, "debian", &inputs([name.as_encoded_bytes(), &extras]));
        let folder = folder.make(|folder| {
            let disk = folder.join("disk.raw");
            disk::make(&disk, &rootfs, &[&extras], tools, stage)?;
            extract_boot(&rootfs, folder)
        })?;
        let [disk, kernel, initrd] =
            ["disk.raw", "vmlinuz", "initrd.img"].map(|name| folder.join(name));
        Ok(Self {
            rootfs,
            base: disk::base(disk, &kernel, Some(&initrd), &peer_cmdline("")),
        })
    }
}

/// Adds the key that lets the benchmark log in.
///
/// # Errors
/// As [`Extras::file`].
pub(crate) fn with_key(extras: Extras, key: &Key) -> Result<Extras> {
    let keys = format!("{}\n", key.public);
    extras
        .folder("root/.ssh", 0o700)?
        .file("root/.ssh/authorized_keys", 0o600, keys)
}

/// Debian's packages, installed by their own scripts, as an archive; rebuilt when one of them changes.
fn rootfs(cache: &Path, apt: &Apt<'_>, stage: &Stage) -> Result<PathBuf> {
    let debs = apt.solve(&words(PACKAGES))?;
    let hashes = debs.iter().map(|deb| deb.sha256.as_bytes());
    let folder = Folder::of(cache, "rootfs", &inputs(hashes.chain([ENABLE.as_bytes()])));
    let folder = folder.make(|folder| {
        stage.message("Debian, by mmdebstrap");
        let mut mmdebstrap = Command::new("mmdebstrap");
        mmdebstrap
            .args(["--variant=minbase", "--format=tar", ENABLE])
            .arg("--aptopt=APT::Install-Recommends \"false\"")
            .arg(format!("--include={}", PACKAGES.join(",")))
            .arg("trixie")
            .args([folder.join("rootfs.tar"), apt.sources()]);
        stage.run(&mut mmdebstrap)
    })?;
    Ok(folder.join("rootfs.tar"))
}

/// Extracts kernel and initramfs from the archive, as a boot loader would.
fn extract_boot(rootfs: &Path, folder: &Path) -> Result<()> {
    let mut archive = Archive::new(File::open(rootfs)?);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.into_owned();
        let path = path.strip_prefix(".").unwrap_or(&path);
        for name in ["vmlinuz", "initrd.img"] {
            let wanted = path.strip_prefix("boot").ok().and_then(Path::to_str);
            if wanted.is_some_and(|file| file.starts_with(&format!("{name}-"))) {
                entry.unpack(folder.join(name))?;
            }
        }
    }
    Ok(())
}

/// Owned words.
pub(crate) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
