//! Links to disks and partitions (`60-persistent-storage.rules`).

use super::name::{encoded, identifier, replaced};
use super::sysfs::Device;
use super::usb::Usb;
use super::{Folder, Links, path, scsi};
use std::path::Path;

/// What names of disks begin with. Loop devices, dm and RAID are no hardware.
const DISKS: [&str; 6] = ["mmcblk", "nvme", "sd", "sr", "vd", "xvd"];

/// Whether a block device is a disk or one of its partitions, by its name. `mmcblk0boot0` and `mmcblk0rpmb` are areas of
/// their own.
pub(super) fn is_disk(name: &str) -> bool {
    let is_area = name.starts_with("mmcblk") && (name.contains("boot") || name.contains("rpmb"));
    DISKS.iter().any(|prefix| name.starts_with(prefix)) && !is_area
}

/// The links to all disks that are present.
pub(super) fn links(sys: &Path) -> Links {
    let mut links = Links::default();
    let devices = Device::of_class(sys, "block").into_iter();
    devices
        .filter(|device| {
            is_disk(&device.name()) && device.property("DEVTYPE").as_deref() == Some("disk")
        })
        // Paths of a multipath disk have no node.
        .filter(|disk| disk.text("hidden").as_deref() != Some("1"))
        .for_each(|disk| add(&mut links, &disk));
    links
}

/// Adds a disk and its partitions, which share its names.
fn add(links: &mut Links, disk: &Device) {
    let names = names(disk);
    let paths = paths(disk);
    let mut add = |device: &Device, suffix: &str| {
        let node = device.name();
        for name in &names {
            links.add(Folder::DiskById, format!("{name}{suffix}"), &node);
        }
        for path in &paths {
            links.add(Folder::DiskByPath, format!("{path}{suffix}"), &node);
        }
        if let Some(uuid) = device.property("PARTUUID") {
            links.add(Folder::DiskByPartUuid, encoded(&uuid), &node);
        }
        // The kernel has made another character of each that is not ASCII.
        if let Some(label) = device.property("PARTNAME") {
            links.add(Folder::DiskByPartLabel, encoded(&label), &node);
        }
    };
    add(disk, "");
    for partition in disk.children() {
        let number = partition.text("partition");
        // One that spans the whole disk is the disk (`ADDPART_FLAG_WHOLEDISK`).
        if let Some(number) = number.filter(|_| partition.binary("whole_disk").is_none()) {
            add(&partition, &format!("-part{number}"));
        }
    }
}

/// The names by which a disk is known wherever it is plugged in.
fn names(disk: &Device) -> Vec<String> {
    let kernel = disk.name();
    if kernel.starts_with("nvme") {
        return nvme(disk);
    }
    if kernel.starts_with("mmcblk") {
        let parts = ["name", "serial"].map(|name| disk.inherited(name));
        let [Some(name), Some(serial)] = parts else {
            return Vec::new();
        };
        return vec![format!("mmc-{}_{}", identifier(&name), identifier(&serial))];
    }
    if kernel.starts_with("vd") {
        let serial = disk.inherited("serial");
        return serial
            .map(|serial| format!("virtio-{}", identifier(&serial)))
            .into_iter()
            .collect();
    }
    if let Some(usb) = Usb::of(disk) {
        return vec![format!("usb-{}", usb.identifier)];
    }
    let scsi = disk.nearest("scsi", "scsi_device");
    let scsi::Names { identifier, wwn } = scsi.map(|scsi| scsi::names(&scsi)).unwrap_or_default();
    identifier.into_iter().chain(wwn).collect()
}

/// By its identifier, and by model and serial number in the forms that udev has had.
fn nvme(disk: &Device) -> Vec<String> {
    let wwid = disk.inherited("wwid");
    let mut names: Vec<String> = wwid.map(|wwid| identifier(&wwid)).into_iter().collect();
    if let [Some(model), Some(serial)] = ["model", "serial"].map(|name| disk.inherited(name)) {
        let both = [model, serial].join(&b'_');
        if !both.contains(&b'/') {
            names.push(identifier(&both));
        }
        names.push(replaced(&both));
        let unit = disk.text("nsid");
        names.extend(unit.map(|unit| format!("{}_{unit}", replaced(&both))));
    }
    names.iter().map(|name| format!("nvme-{name}")).collect()
}

/// The names of where a disk is plugged in.
fn paths(disk: &Device) -> Vec<String> {
    if disk.path().to_string_lossy().contains("/virtual/") {
        return Vec::new();
    }
    let Some(path) = path::of(disk) else {
        return Vec::new();
    };
    let is_virtio = disk.name().starts_with("vd") && path.path.starts_with("pci-");
    // udev's older names.
    let virtio = is_virtio.then(|| format!("virtio-{}", path.path));
    [path.path]
        .into_iter()
        .chain(path.ata)
        .chain(virtio)
        .collect()
}
