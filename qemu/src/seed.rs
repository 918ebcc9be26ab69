//! NoCloud seeds: small disks with the label CIDATA that carry user-data.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shape::{Disk, DiskBus, DiskFormat};

/// The form of a NoCloud disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seed {
    /// A FAT file system on a virtio disk.
    Vfat,
    /// An ISO 9660 file system in a CD drive.
    Iso,
}

/// The label that identifies NoCloud.
const LABEL: &str = "CIDATA";
/// NoCloud requires this file; one instance is enough for us.
const META_DATA: &str = "instance-id: tare\n";

impl Seed {
    /// Makes the disk in `folder`, with `user_data` on it. Its path is relative to `folder`.
    pub(crate) fn create(self, folder: &Path, user_data: &[u8]) -> Result<Disk> {
        let files = folder.join("nocloud");
        fs::create_dir_all(&files)?;
        fs::write(files.join("user-data"), user_data)?;
        fs::write(files.join("meta-data"), META_DATA)?;
        let (name, bus) = match self {
            Self::Vfat => ("seed.vfat", DiskBus::Virtio),
            Self::Iso => ("seed.iso", DiskBus::Cd),
        };
        // mkfs.vfat does not overwrite.
        let _ = fs::remove_file(folder.join(name));
        match self {
            Self::Vfat => make_vfat(&folder.join(name), &files, user_data.len())?,
            Self::Iso => make_iso(&folder.join(name), &files)?,
        }
        Ok(Disk {
            path: name.into(),
            format: DiskFormat::Raw,
            bus,
            read_only: true,
        })
    }
}

fn make_vfat(disk: &Path, files: &Path, content: usize) -> Result<()> {
    // 1 MiB more than the content holds any FAT's own tables.
    let kib = 1024 + content / 1024 + 1;
    run(tool("mkfs.vfat")
        .args(["-C", "-n", LABEL])
        .arg(disk)
        .arg(kib.to_string()))?;
    let sources = [files.join("user-data"), files.join("meta-data")];
    run(tool("mcopy").arg("-i").arg(disk).args(sources).arg("::"))
}

fn make_iso(disk: &Path, files: &Path) -> Result<()> {
    let options = [
        "-as",
        "mkisofs",
        "-quiet",
        "-joliet",
        "-rational-rock",
        "-volid",
        LABEL,
        "-output",
    ];
    run(tool("xorriso").args(options).arg(disk).arg(files))
}

fn tool(name: &str) -> Command {
    Command::new(tare_image::host::find_command(name).unwrap_or_else(|| name.into()))
}

/// Runs a short tool to its end.
pub(crate) fn run(cmd: &mut Command) -> Result<()> {
    let output = cmd.output();
    let program = Path::new(cmd.get_program()).display();
    let output = output.with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        bail!(
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(())
}
