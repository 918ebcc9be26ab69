//! The image's time zones.

use super::files::{read_bounded, write_atomically};
use crate::paths::ZONES;
use std::io;
use std::path::Path;
use tare_config::machine::ZoneName;
use tare_container::paths::HOST_FACTS;

/// What the file of a zone begins with (RFC 9636, section 3.1).
const MAGIC: &[u8] = b"TZif";

/// Longer than any file of a zone, which have up to 3.5 KiB, and the table of zones, which has 18 KiB.
const MAX: usize = 64 << 10;

/// UTC, for an image without zones.
const UTC: &[u8] = include_bytes!("utc.tzif");

/// # Errors
/// The image does not have `zone`; the message offers the nearest one.
pub(crate) fn check(zone: &ZoneName) -> Result<(), String> {
    check_in(Path::new(ZONES), zone)
}

fn check_in(zones: &Path, zone: &ZoneName) -> Result<(), String> {
    if read(zones, zone).is_some() {
        return Ok(());
    }
    let table = read_bounded(&zones.join("zone.tab"), MAX).unwrap_or_default();
    Err(zone.unknown(&String::from_utf8_lossy(&table)))
}

/// Writes the file `localtime` of the facts: that of `zone`, or UTC.
pub(crate) fn write(zone: Option<&ZoneName>) -> io::Result<()> {
    let found = zone.and_then(|zone| read(Path::new(ZONES), zone));
    let contents = found.as_deref().unwrap_or(UTC);
    write_atomically(&Path::new(HOST_FACTS).join("localtime"), contents, 0o644)
}

fn read(zones: &Path, zone: &ZoneName) -> Option<Vec<u8>> {
    let bytes = read_bounded(&zones.join(zone.as_str()), MAX).ok()?;
    (bytes.starts_with(MAGIC) && bytes.len() <= MAX).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_zone_is_a_file_of_zones() {
        let zones = std::env::temp_dir().join(format!("tare-zones-{}", std::process::id()));
        fs::create_dir_all(zones.join("Europe")).unwrap();
        fs::write(zones.join("Europe/Vienna"), UTC).unwrap();
        fs::write(zones.join("leapseconds"), "# text").unwrap();
        fs::write(zones.join("zone.tab"), "AT\t+4813+01620\tEurope/Vienna\n").unwrap();
        fs::write(zones.join("long"), [MAGIC, &[0; MAX]].concat()).unwrap();
        let none = "there is none of this name";
        for (name, want) in [
            ("Europe/Vienna", Ok(())),
            (
                "Europe/Viena",
                Err("unknown time zone `Europe/Viena`, did you mean `Europe/Vienna`?".to_owned()),
            ),
            ("Europe", Err(format!("unknown time zone `Europe`: {none}"))),
            (
                "leapseconds",
                Err(format!("unknown time zone `leapseconds`: {none}")),
            ),
            ("long", Err(format!("unknown time zone `long`: {none}"))),
        ] {
            let zone = ZoneName::try_from(name.to_owned()).unwrap();
            assert_eq!(check_in(&zones, &zone), want);
        }
        fs::remove_dir_all(&zones).unwrap();
    }
}
