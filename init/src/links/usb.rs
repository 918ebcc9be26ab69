//! Names of USB devices (`udev-builtin-usb_id.c`).

use super::name::identifier;
use super::scsi;
use super::sysfs::Device;

/// Longer manufacturers and products are cut, in bytes.
const LONGEST: usize = 63;
/// Longer identifiers are cut, in bytes.
const LONGEST_IDENTIFIER: usize = 255;

/// The class of mass storage (`bInterfaceClass`), and its subclasses that speak SCSI and ATAPI.
const STORAGE: &str = "08";
const SCSI: [&str; 2] = ["02", "06"];

/// A device on USB, as seen through one of its interfaces.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Usb {
    /// `VENDOR_MODEL_SERIAL`, without `_SERIAL` if it has none.
    pub(super) identifier: String,
    /// The number of its interface, two hexadecimal digits.
    pub(super) interface: Option<String>,
}

impl Usb {
    /// `None` if the device is not on USB.
    pub(super) fn of(device: &Device) -> Option<Self> {
        let interface = device.nearest("usb", "usb_interface")?;
        let usb = interface.nearest("usb", "usb_device")?;
        let class = interface.text("bInterfaceClass")?;
        let subclass = interface.text("bInterfaceSubClass").unwrap_or_default();
        let scsi = (class == STORAGE && SCSI.contains(&subclass.as_str()))
            .then(|| device.nearest("scsi", "scsi_device"))
            .flatten();
        let mut parts = vec![
            part(scsi.as_ref(), "vendor", &usb, ["manufacturer", "idVendor"])?,
            part(scsi.as_ref(), "model", &usb, ["product", "idProduct"])?,
        ];
        parts.extend(serial_number(&usb));
        let mut identifier = parts.join("_");
        // Units of one device share its names.
        if let Some([_, _, target, unit]) = scsi.as_ref().and_then(scsi::address) {
            identifier.push_str(&format!("-{target}:{unit}"));
        }
        while identifier.len() > LONGEST_IDENTIFIER {
            identifier.pop();
        }
        Some(Self {
            identifier,
            interface: interface.text("bInterfaceNumber"),
        })
    }
}

/// What the disk says of itself, or the USB device, or the numbers that it always has.
fn part(scsi: Option<&Device>, ours: &str, usb: &Device, theirs: [&str; 2]) -> Option<String> {
    let own = scsi.and_then(|scsi| scsi.attribute(ours));
    let texts = own
        .into_iter()
        .chain(theirs.iter().filter_map(|name| usb.attribute(name)));
    let mut names = texts.map(|text| identifier(&text[..text.len().min(LONGEST)]));
    names.find(|name| !name.is_empty())
}

/// Serial numbers with other characters are garbage, as Windows has it, too.
fn serial_number(usb: &Device) -> Option<String> {
    let serial = usb.attribute("serial")?;
    let is_good = |byte: &u8| (0x20..0x80).contains(byte) && *byte != b',';
    let name = identifier(&serial);
    (serial.iter().all(is_good) && !name.is_empty()).then_some(name)
}
