//! Where a device is plugged in (`udev-builtin-path_id.c`): below PCI and the like, by SCSI, ATA, USB, NVMe and virtio.

use super::scsi;
use super::sysfs::{Device, names_in};

/// The path of a device.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DevicePath {
    /// Such as `pci-0000:00:1f.2-ata-1.0`.
    pub(super) path: String,
    /// Its older name if it is on ATA: `pci-0000:00:1f.2-ata-1`.
    pub(super) ata: Option<String>,
}

/// A step on the way from a device to the root.
struct Step {
    /// Its part of the path, if it has one.
    part: Option<String>,
    /// The same in the older form.
    ata: Option<String>,
    /// From where to go on.
    at: Device,
    /// Whether it makes devices known by a number that stays.
    is_transport: bool,
    /// Whether it is known itself by a name that stays.
    is_anchor: bool,
}

/// `None` if nothing on the way has a name that stays.
pub(super) fn of(device: &Device) -> Option<DevicePath> {
    let mut parts = Vec::new();
    let mut old_parts = Vec::new();
    let (mut transported, mut anchored, mut is_ata) = (false, false, false);
    let mut next = Some(device.clone());
    while let Some(here) = next {
        let step = step(device, here)?;
        is_ata |= step.ata.is_some();
        old_parts.extend(step.ata.or_else(|| step.part.clone()));
        parts.extend(step.part);
        transported |= step.is_transport;
        anchored |= step.is_anchor;
        next = step.at.parent();
    }
    let is_disk = device.subsystem().as_deref() == Some("block");
    if parts.is_empty() || !anchored || (is_disk && !transported) {
        return None;
    }
    Some(DevicePath {
        path: joined(parts),
        ata: is_ata.then(|| joined(old_parts)),
    })
}

fn joined(mut parts: Vec<String>) -> String {
    parts.reverse();
    parts.join("-")
}

/// `None` if the device is on a bus whose paths we do not know: Fibre Channel, SAS, iSCSI, Hyper-V.
fn step(device: &Device, here: Device) -> Option<Step> {
    let subsystem = here.subsystem().unwrap_or_default();
    let named = |prefix: &str| Some(format!("{prefix}-{}", here.name()));
    let (part, is_transport, is_anchor) = match subsystem.as_str() {
        "scsi" => return scsi_step(here),
        "usb" => (usb_port(&here), true, false),
        "virtio" => (None, true, false),
        "nvme" => {
            let unit = device.text("nsid").map(|unit| format!("nvme-{unit}"));
            let known = unit.is_some();
            (unit, known, known)
        }
        "pci" => (named("pci"), false, true),
        "platform" => (named("platform"), true, true),
        "acpi" => (named("acpi"), false, true),
        "xen" => (named("xen"), false, true),
        _ => (None, false, false),
    };
    let at = match part.is_some() || subsystem == "virtio" {
        true => outermost(here, &subsystem),
        false => here,
    };
    Some(Step {
        part,
        ata: None,
        at,
        is_transport,
        is_anchor,
    })
}

/// The last ancestor in an unbroken line of the same subsystem.
fn outermost(device: Device, subsystem: &str) -> Device {
    let same = device
        .line()
        .into_iter()
        .take_while(|ancestor| ancestor.subsystem().as_deref() == Some(subsystem));
    same.last().unwrap_or(device)
}

/// `usb-0:PORT` of a device `BUS-PORT`: the number of a bus depends on the order of drivers.
fn usb_port(device: &Device) -> Option<String> {
    let kind = device.property("DEVTYPE")?;
    let name = device.name();
    let (_, port) = name.split_once('-')?;
    matches!(kind.as_str(), "usb_interface" | "usb_device").then(|| format!("usb-0:{port}"))
}

fn scsi_step(here: Device) -> Option<Step> {
    let mut step = Step {
        part: None,
        ata: None,
        at: here,
        is_transport: true,
        is_anchor: false,
    };
    if !step.at.is("scsi", "scsi_device") {
        return Some(step);
    }
    let [host, bus, target, unit] = scsi::address(&step.at)?;
    let controller = step.at.nearest("scsi", "scsi_host")?;
    let path = step.at.path().to_string_lossy().into_owned();
    let unknown = ["/rport-", "/end_device-", "/session", "/vmbus_", "/VMBUS"];
    if unknown.iter().any(|bus| path.contains(bus)) {
        return None;
    }
    if path.contains("/ata") {
        let port = ata_port(&controller)?;
        // Behind a port multiplier, the bus counts.
        step.part = Some(match bus {
            0 => format!("ata-{port}.{target}"),
            _ => format!("ata-{port}.{bus}.0"),
        });
        step.ata = Some(format!("ata-{port}"));
    } else {
        let host = host.checked_sub(lowest_host(&controller)?)?;
        step.part = Some(format!("scsi-{host}:{bus}:{target}:{unit}"));
        step.at = controller;
    }
    Some(step)
}

/// The number of the port on its controller.
fn ata_port(host: &Device) -> Option<String> {
    let port = host.parent()?;
    port.text(&format!("ata_port/{}/port_no", port.name()))
}

/// The lowest number of a host on the same controller: the kernel numbers all hosts of a machine.
fn lowest_host(host: &Device) -> Option<u32> {
    let siblings = host.path().parent().map(names_in)?;
    let numbers = siblings
        .iter()
        .filter_map(|name| name.strip_prefix("host")?.parse().ok());
    numbers.min()
}
