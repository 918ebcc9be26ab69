//! The time zones of the system that `tare` is in: the image's for logins, a laptop's elsewhere.

use std::fs;
use std::path::Path;
use tare_config::machine::ZoneName;

/// The folder of zones (tzfile(5)).
const ZONES: &str = "/usr/share/zoneinfo";

/// # Errors
/// There is no `zone`; the message offers the nearest one. A system without zones takes each name.
pub(super) fn check(zone: &ZoneName) -> Result<(), String> {
    let zones = Path::new(ZONES);
    let Ok(table) = fs::read(zones.join("zone.tab")) else {
        return Ok(());
    };
    match fs::read(zones.join(zone.as_str())) {
        // RFC 9636, section 3.1.
        Ok(bytes) if bytes.starts_with(b"TZif") => Ok(()),
        _ => Err(zone.unknown(&String::from_utf8_lossy(&table))),
    }
}
