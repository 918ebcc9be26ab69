//! The disks and partitions that are there. Only sysfs and the links below `/dev` are read, no disk.

use super::plan::{Device, Mounted};
use rustix::fs::{major, minor, stat};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tare_config::machine::FileSystem;

/// The unit of sysfs, whatever the size of the disk's own sectors.
const SECTOR: u64 = 512;

/// What names of disks begin with, as for the links to them (`init/src/links/disk.rs`), without optical drives.
const DISKS: [&str; 5] = ["mmcblk", "nvme", "sd", "vd", "xvd"];

/// All disks and partitions. Serial numbers are read only if the caller asks for them: a disk may not answer.
pub(super) fn all(sys: &Path, dev: &Path, with_serials: bool) -> Vec<Device> {
    let paths = paths(dev);
    let names = names_in(&sys.join("class/block")).into_iter();
    let devices = names.filter(|name| is_disk(name)).filter_map(|name| {
        // It may have gone meanwhile.
        let node = fs::canonicalize(sys.join("class/block").join(&name)).ok()?;
        device(&node, name, &paths, with_serials)
    });
    devices.collect()
}

fn is_disk(name: &str) -> bool {
    let is_area = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    DISKS.iter().any(|prefix| name.starts_with(prefix)) && !is_area
}

fn device(
    node: &Path,
    name: String,
    paths: &BTreeMap<String, BTreeSet<String>>,
    with_serials: bool,
) -> Option<Device> {
    // A path of a multipath disk has no node.
    if text(node, "hidden").as_deref() == Some("1") {
        return None;
    }
    let disk = match node.join("partition").exists() {
        true => node.parent()?,
        false => node,
    };
    let own = names_in(node).into_iter();
    Some(Device {
        number: text(node, "dev")?,
        disk: disk.file_name()?.to_string_lossy().into_owned(),
        bytes: text(node, "size")?.parse::<u64>().ok()? * SECTOR,
        serials: match with_serials {
            true => serials(disk),
            false => Vec::new(),
        },
        sequence: text(disk, "diskseq").unwrap_or_default(),
        paths: paths.get(&name).cloned().unwrap_or_default(),
        holders: names_in(&node.join("holders")).into_iter().collect(),
        partitions: own
            .filter(|child| node.join(child).join("partition").exists())
            .collect(),
        name,
    })
}

/// The paths of each device below `dev`, by the kernel's name for it: its node, and links in the folders of `disk`.
fn paths(dev: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut paths: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut add = |name: String, path: String| {
        paths.entry(name).or_default().insert(path);
    };
    for name in names_in(dev) {
        add(name.clone(), format!("/dev/{name}"));
    }
    for folder in names_in(&dev.join("disk")) {
        for link in names_in(&dev.join("disk").join(&folder)) {
            let target = fs::read_link(dev.join("disk").join(&folder).join(&link));
            let name = target.as_ref().ok().and_then(|target| target.file_name());
            if let Some(name) = name {
                let path = format!("/dev/disk/{folder}/{link}");
                add(name.to_string_lossy().into_owned(), path);
            }
        }
    }
    paths
}

/// The serial numbers of a disk: of virtio, of NVMe and SD cards, of SCSI and SATA, and of a USB device.
fn serials(disk: &Path) -> Vec<String> {
    let page = fs::read(disk.join("device/vpd_pg80")).unwrap_or_default();
    // After a header of four bytes (SPC-4, 7.8.15).
    let scsi = page.get(4..).and_then(printable);
    let usb = disk
        .ancestors()
        .find(|device| device.join("idVendor").exists())
        .and_then(|device| text(device, "serial"));
    let found = [text(disk, "serial"), text(disk, "device/serial"), scsi, usb];
    let mut serials: Vec<String> = found.into_iter().flatten().collect();
    serials.dedup();
    serials
}

/// The names of the disks that the system runs from: the one below dm-verity, and the one with the state. `None` if it
/// cannot be told, so that no disk may be touched.
pub(super) fn system(sys: &Path, state: &Path) -> Option<BTreeSet<String>> {
    let root = names_in(&sys.join("block/dm-0/slaves"));
    let mut disks: BTreeSet<String> = root
        .iter()
        .filter_map(|name| disk_of(&sys.join("class/block").join(name)))
        .collect();
    if disks.is_empty() {
        return None;
    }
    let device = stat(state).ok()?.st_dev;
    let state = format!("dev/block/{}:{}", major(device), minor(device));
    // The state may be in memory.
    disks.extend(disk_of(&sys.join(state)));
    Some(disks)
}

fn disk_of(partition: &Path) -> Option<String> {
    let node = fs::canonicalize(partition).ok()?;
    let disk = match node.join("partition").exists() {
        true => node.parent()?,
        false => &node,
    };
    Some(disk.file_name()?.to_string_lossy().into_owned())
}

/// Whether there is a block device of this number.
pub(super) fn exists(sys: &Path, number: &str) -> bool {
    sys.join("dev/block").join(number).exists()
}

/// What is mounted in this container, in the order in which it was.
///
/// # Errors
/// When `/proc` cannot be read.
pub(super) fn mounts() -> io::Result<Vec<Mounted>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

/// Parses `mountinfo` (`proc_pid_mountinfo(5)`). Names with white space stay escaped: no mount point of ours has any that
/// the kernel would take for a separator, except a blank.
fn parse(mountinfo: &str) -> Vec<Mounted> {
    let mount = |line: &str| {
        let mut fields = line.split(' ').skip(2);
        let number = fields.next()?.to_owned();
        let target = fields.nth(1)?.replace("\\040", " ").replace("\\134", "\\");
        Some(Mounted { number, target })
    };
    mountinfo.lines().filter_map(mount).collect()
}

/// The kind of the file system on the device with this number, if it is mounted and one of ours.
pub(super) fn file_system(mountinfo: &str, number: &str) -> Option<FileSystem> {
    let mut lines = mountinfo
        .lines()
        .filter(|line| line.split(' ').nth(2) == Some(number));
    let (_, rest) = lines.next()?.split_once(" - ")?;
    let kinds = [FileSystem::Ext4, FileSystem::Xfs];
    kinds
        .into_iter()
        .find(|kind| rest.split(' ').next() == Some(kind.name()))
}

/// An attribute without white space at its ends; `None` if it is not there, or empty.
fn text(node: &Path, attribute: &str) -> Option<String> {
    printable(&fs::read(node.join(attribute)).ok()?)
}

fn printable(bytes: &[u8]) -> Option<String> {
    let text = bytes.split(|byte| *byte == 0).next()?.trim_ascii();
    let text = String::from_utf8(text.to_owned()).ok()?;
    Some(text).filter(|text| !text.is_empty())
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.collect()
}

/// The node of a device.
pub(super) fn node(device: &Device) -> PathBuf {
    Path::new("/dev").join(&device.name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A machine with a virtio disk `vda` below the root, and a USB disk `sda` with a partition.
    fn machine(folder: &Path) {
        let write = |path: &str, text: &[u8]| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let link = |path: &str, target: &str| {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            symlink(folder.join(target), path).unwrap();
        };
        write("sys/devices/virtio0/vda/dev", b"254:0\n");
        write("sys/devices/virtio0/vda/size", b"2048\n");
        write("sys/devices/virtio0/vda/serial", b"ABC123");
        write("sys/devices/virtio0/vda/vda2/partition", b"2\n");
        write("sys/devices/usb1/1-1/idVendor", b"0951\n");
        write("sys/devices/usb1/1-1/serial", b"U1\n");
        write("sys/devices/usb1/1-1/host0/block/sda/dev", b"8:0\n");
        write("sys/devices/usb1/1-1/host0/block/sda/size", b"4096\n");
        write("sys/devices/usb1/1-1/host0/block/sda/diskseq", b"9\n");
        write(
            "sys/devices/usb1/1-1/host0/block/sda/device/vpd_pg80",
            b"\0\x80\0\x04 Z 1",
        );
        write("sys/devices/usb1/1-1/host0/block/sda/sda1/dev", b"8:1\n");
        write("sys/devices/usb1/1-1/host0/block/sda/sda1/size", b"8\n");
        write(
            "sys/devices/usb1/1-1/host0/block/sda/sda1/partition",
            b"1\n",
        );
        write(
            "sys/devices/usb1/1-1/host0/block/sda/sda1/holders/dm-7",
            b"",
        );
        link("sys/class/block/vda", "sys/devices/virtio0/vda");
        link("sys/class/block/vda2", "sys/devices/virtio0/vda/vda2");
        link(
            "sys/class/block/sda",
            "sys/devices/usb1/1-1/host0/block/sda",
        );
        link(
            "sys/class/block/sda1",
            "sys/devices/usb1/1-1/host0/block/sda/sda1",
        );
        link("sys/class/block/loop0", "sys/devices/virtio0/vda");
        write("dev/sda", b"");
        fs::create_dir_all(folder.join("dev/disk/by-id")).unwrap();
        symlink("../../sda1", folder.join("dev/disk/by-id/usb-U1-part1")).unwrap();
    }

    #[test]
    fn disks_are_as_sysfs_shows_them() {
        let folder = std::env::temp_dir().join(format!("tare-devices-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        machine(&folder);
        let (sys, dev) = (folder.join("sys"), folder.join("dev"));
        let found = all(&sys, &dev, true);
        let names: Vec<&str> = found.iter().map(|device| device.name.as_str()).collect();
        // The partition of vda has no number yet: it is not there.
        assert_eq!(names, ["sda", "sda1", "vda"]);
        let [sda, sda1, vda] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!(sda.serials, ["Z 1", "U1"]);
        assert_eq!((sda.bytes, sda.number.as_str()), (4096 * 512, "8:0"));
        assert_eq!(sda.partitions, ["sda1"]);
        assert_eq!(sda.paths, ["/dev/sda".to_owned()].into());
        assert_eq!((sda1.disk.as_str(), sda1.sequence.as_str()), ("sda", "9"));
        assert_eq!(sda1.holders, ["dm-7"]);
        assert_eq!(
            sda1.paths,
            ["/dev/disk/by-id/usb-U1-part1".to_owned()].into()
        );
        assert_eq!(vda.serials, ["ABC123"]);
        assert_eq!(all(&sys, &dev, false)[2].serials, [""; 0]);
        assert_eq!(system(&sys, &folder), None);
        fs::create_dir_all(sys.join("block/dm-0/slaves/vda2")).unwrap();
        assert_eq!(system(&sys, &folder), Some(["vda".to_owned()].into()));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn mounts_have_a_number_and_a_place() {
        let mountinfo = "\
31 30 254:4 /volumes/srv /srv rw shared:1 - ext4 /dev/vda4 rw
32 31 254:16 / /srv/my\\040data rw,nosuid shared:2 - ext4 /dev/vdb rw
";
        let mount = |number: &str, target: &str| Mounted {
            number: number.to_owned(),
            target: target.to_owned(),
        };
        let want = [mount("254:4", "/srv"), mount("254:16", "/srv/my data")];
        assert_eq!(parse(mountinfo), want);
        assert_eq!(file_system(mountinfo, "254:16"), Some(FileSystem::Ext4));
        assert_eq!(file_system(mountinfo, "254:1"), None);
    }
}
