//! The sources of user-data on this machine: QEMU's fw_cfg and NoCloud disks.

use super::files::read_bounded;
use super::mounts::{mount, unmount};
use crate::paths::{FW_CFG, NOCLOUD};
use nix::mount::MsFlags;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tare_config::MAX_BYTES;

/// Sources from the weakest to the strongest.
pub(crate) const SOURCES: [&str; 2] = ["nocloud", "fw_cfg"];

/// What commands of this machine have set, stronger than all of them.
pub(crate) const LOCAL: &str = "local";

/// What they have set until the next boot, stronger still.
pub(crate) const ONCE: &str = "once";

/// What `source` holds on this machine, or why it cannot be read; `None` if there is no such source. Reads at most
/// one byte more than [`MAX_BYTES`].
pub(crate) fn read(source: &str) -> Option<Result<Vec<u8>, String>> {
    let read = match source {
        "fw_cfg" => read_fw_cfg(),
        _ => read_nocloud(),
    };
    read.map_err(|error| format!("{source}: {error}"))
        .transpose()
}

/// The kernel's command line, or nothing.
pub(crate) fn cmdline() -> String {
    fs::read_to_string("/proc/cmdline").unwrap_or_default()
}

/// Oversized files are not read: the driver transfers a byte at a time through a port, a second per MiB.
fn read_fw_cfg() -> io::Result<Option<Vec<u8>>> {
    let folder = Path::new(FW_CFG);
    let Ok(size) = fs::read_to_string(folder.join("size")) else {
        return Ok(None);
    };
    match size.trim().parse::<usize>() {
        Ok(size) if size > MAX_BYTES => Err(io::Error::other(format!(
            "too long: {size} bytes, at most {MAX_BYTES} are read"
        ))),
        _ => read_bounded(&folder.join("raw"), MAX_BYTES).map(Some),
    }
}

/// `user-data` of the file system labelled CIDATA, if there is one (cloud-init's NoCloud).
fn read_nocloud() -> io::Result<Option<Vec<u8>>> {
    let Some((device, fstype)) = find_nocloud() else {
        return Ok(None);
    };
    let target = Path::new(NOCLOUD);
    let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(&device.to_string_lossy(), fstype, target, flags, "").map_err(io::Error::other)?;
    let bytes = read_bounded(&target.join("user-data"), MAX_BYTES);
    unmount(target)?;
    bytes.map(Some)
}

fn find_nocloud() -> Option<(PathBuf, &'static str)> {
    let names = fs::read_dir("/sys/class/block")
        .ok()?
        .flatten()
        .map(|entry| entry.file_name());
    let mut devices: Vec<PathBuf> = names.map(|name| Path::new("/dev").join(name)).collect();
    devices.sort();
    devices
        .into_iter()
        .filter(|device| !is_virtual(device))
        .find_map(|device| {
            let fstype = labelled_cidata(&device)?;
            Some((device, fstype))
        })
}

/// Whether `device` is a loop, RAM or device-mapper device, which is not an attached disk.
fn is_virtual(device: &Path) -> bool {
    let name = device
        .file_name()
        .map(|name| name.to_string_lossy())
        .unwrap_or_default();
    ["loop", "ram", "dm-", "zram"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// The file system of `device` if its label is CIDATA, in any case.
fn labelled_cidata(device: &Path) -> Option<&'static str> {
    let device = File::open(device).ok()?;
    if has_label(&device, ISO_ID, b"CD001") && has_label(&device, ISO_LABEL, b"CIDATA") {
        return Some("iso9660");
    }
    [FAT16_LABEL, FAT32_LABEL]
        .iter()
        .any(|at| has_label(&device, *at, b"CIDATA     "))
        .then_some("vfat")
}

/// ECMA-119, section 8.4: the primary volume descriptor is sector 16; its identifier is at byte 1, the volume's at
/// 40.
const ISO_ID: u64 = 16 * 2048 + 1;
const ISO_LABEL: u64 = 16 * 2048 + 40;
/// Microsoft's FAT specification, `BS_VolLab` of FAT12/16 and of FAT32.
const FAT16_LABEL: u64 = 43;
const FAT32_LABEL: u64 = 71;

fn has_label(device: &File, at: u64, label: &[u8]) -> bool {
    let mut bytes = vec![0; label.len()];
    device.read_exact_at(&mut bytes, at).is_ok() && bytes.eq_ignore_ascii_case(label)
}
