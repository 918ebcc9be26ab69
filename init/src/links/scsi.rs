//! What a SCSI device says of itself, in pages that the kernel has kept since it found the device: SPC-4, 7.8 (vital
//! product data). The choice among them is that of `scsi_id` and `ata_id`.

use super::name::identifier;
use super::sysfs::Device;

/// Types of identifiers in the device identification page (SPC-4, 7.8.6).
const VENDOR_SPECIFIC: u8 = 0;
const T10_VENDOR: u8 = 1;
const EUI_64: u8 = 2;
const NAA: u8 = 3;

/// Code sets of identifiers.
const BINARY: u8 = 1;
const ASCII: u8 = 2;

/// Kinds of NAA identifiers: registered with an extension, and without.
const REGISTERED_EXTENDED: u8 = 6;
const REGISTERED: u8 = 5;

/// What identifiers of ATA disks begin with, as the kernel makes them (`ata_scsiop_inq_83()`): the vendor, 40 bytes of
/// model, 20 of serial number.
const ATA: &[u8] = b"ATA     ";
const ATA_MODEL: usize = 40;

/// Names of a disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Such as `ata-MODEL_SERIAL`, `scsi-36001405…`.
    pub(super) identifier: Option<String>,
    /// The world wide name, `wwn-0x…`.
    pub(super) wwn: Option<String>,
}

/// An identifier of page 0x83.
struct Identifier<'a> {
    kind: u8,
    code_set: u8,
    bytes: &'a [u8],
}

/// `HOST:BUS:TARGET:UNIT`, the name of a SCSI device.
pub(super) fn address(device: &Device) -> Option<[u32; 4]> {
    let name = device.name();
    let numbers: Option<Vec<u32>> = name.split(':').map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// The names of a SCSI device.
pub(super) fn names(device: &Device) -> Names {
    let page = device.binary("vpd_pg83").unwrap_or_default();
    let identifiers = identifiers(&page);
    let vendor = device.attribute("vendor").unwrap_or_default();
    let is_ata = vendor == ATA.trim_ascii_end();
    let named = match is_ata {
        true => ata(&identifiers),
        false => best(device, &identifiers)
            .or_else(|| unit_serial(device))
            .map(|text| format!("scsi-{}", identifier(&text))),
    };
    let wwn = preferred(&identifiers)
        .filter(|chosen| chosen.kind == NAA)
        .map(|chosen| format!("wwn-0x{}", text(chosen)));
    Names {
        identifier: named,
        wwn,
    }
}

/// The identifiers of the device itself. A truncated one ends the list.
fn identifiers(page: &[u8]) -> Vec<Identifier<'_>> {
    let mut identifiers = Vec::new();
    let length = match page {
        [_, 0x83, high, low, ..] => usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    };
    let mut rest = page.get(4..).unwrap_or_default();
    rest = &rest[..rest.len().min(length)];
    while let [code_set, kind, _, length, after @ ..] = rest {
        let Some((bytes, following)) = after.split_at_checked(usize::from(*length)) else {
            break;
        };
        // Others are those of a port, or of a target.
        let is_of_device = kind & 0x30 == 0;
        if is_of_device && !bytes.is_empty() {
            identifiers.push(Identifier {
                kind: kind & 0x0f,
                code_set: code_set & 0x0f,
                bytes,
            });
        }
        rest = following;
    }
    identifiers
}

/// The first of the best kind, as `scsi_id` ranks them.
fn preferred<'a>(identifiers: &'a [Identifier<'a>]) -> Option<&'a Identifier<'a>> {
    let ranked = identifiers
        .iter()
        .filter_map(|identifier| Some((rank(identifier)?, identifier)));
    ranked.min_by_key(|(rank, _)| *rank).map(|(_, best)| best)
}

fn rank(identifier: &Identifier<'_>) -> Option<u8> {
    let kind = match (identifier.kind, identifier.bytes[0] >> 4) {
        (NAA, REGISTERED_EXTENDED) => 0,
        (NAA, REGISTERED) => 2,
        (NAA, _) => 4,
        (EUI_64, _) => 6,
        (T10_VENDOR, _) => 8,
        (VENDOR_SPECIFIC, _) => 10,
        _ => return None,
    };
    match identifier.code_set {
        BINARY => Some(kind),
        ASCII => Some(kind + 1),
        _ => None,
    }
}

/// Its kind, as a digit, and what it says. That of a vendor is unique together with the model only.
fn best(device: &Device, identifiers: &[Identifier<'_>]) -> Option<Vec<u8>> {
    let chosen = preferred(identifiers)?;
    let mut name = chosen.kind.to_string().into_bytes();
    if chosen.kind == VENDOR_SPECIFIC {
        name.extend(vendor_and_model(device));
    }
    name.extend(text(chosen).bytes());
    Some(name)
}

/// Up to the first zero byte if it is text, otherwise in hexadecimal.
fn text(identifier: &Identifier<'_>) -> String {
    if identifier.code_set == ASCII {
        let text = identifier.bytes.split(|byte| *byte == 0).next();
        return String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
    }
    let digits = identifier.bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

/// The serial number of page 0x80, of disks without any other.
fn unit_serial(device: &Device) -> Option<Vec<u8>> {
    let page = device.binary("vpd_pg80")?;
    let [_, 0x80, _, length, serial @ ..] = page.as_slice() else {
        return None;
    };
    let serial = &serial[..serial.len().min(usize::from(*length))];
    let mut name = b"S".to_vec();
    name.extend(vendor_and_model(device));
    name.extend(serial.split(|byte| *byte == 0).next()?);
    Some(name)
}

/// Padded to 8 and 16 bytes, as the device sends them.
fn vendor_and_model(device: &Device) -> Vec<u8> {
    let mut text = device.attribute("vendor").unwrap_or_default();
    text.resize(8, b' ');
    text.extend(device.attribute("model").unwrap_or_default());
    text.resize(24, b' ');
    text
}

fn ata(identifiers: &[Identifier<'_>]) -> Option<String> {
    let mut named = identifiers.iter().filter_map(|identifier| {
        let is_text = identifier.kind == T10_VENDOR && identifier.code_set == ASCII;
        let text = identifier.bytes.strip_prefix(ATA)?;
        is_text.then(|| text.split_at_checked(ATA_MODEL))?
    });
    let (model, serial) = named.next()?;
    let parts = [identifier(model), identifier(serial)];
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    Some(match parts[..] {
        [model, ""] => format!("ata-{model}"),
        _ => format!("ata-{}", parts.join("_")),
    })
}
