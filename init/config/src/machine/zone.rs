//! Time zones.

use crate::error::nearest;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The name of a time zone in IANA's database, such as `Europe/Vienna`. Which of them exist depends on the image.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ZoneName(String);

impl ZoneName {
    /// As it was written: a relative path without `.` and `..`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The message about a name that is not in the image, whose `zone.tab` (tzfile(5)) has the text `table`: the third column
    /// of each line has the name of a zone.
    #[must_use]
    pub fn unknown(&self, table: &str) -> String {
        let lines = table.lines().filter(|line| !line.starts_with('#'));
        let names: Vec<&str> = lines.filter_map(|line| line.split('\t').nth(2)).collect();
        match nearest(&self.0, &names) {
            Some(near) => format!("unknown time zone `{self}`, did you mean `{near}`?"),
            None => format!("unknown time zone `{self}`: there is none of this name"),
        }
    }
}

impl TryFrom<String> for ZoneName {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        // The longest has 32 bytes. Other files beside those of zones have a `.` in their names.
        let fits = |c: char| c.is_ascii_alphanumeric() || "_+-".contains(c);
        let is_part = |part: &str| !part.is_empty() && part.chars().all(fits);
        if name.len() <= 64 && name.split('/').all(is_part) {
            return Ok(Self(name));
        }
        Err(format!(
            "`{name}` is not a time zone: write its name as in `Europe/Vienna`"
        ))
    }
}

impl From<ZoneName> for String {
    fn from(zone: ZoneName) -> Self {
        zone.0
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_paths_below_the_zones() {
        for (name, fits) in [
            ("UTC", true),
            ("Etc/GMT+5", true),
            ("America/Argentina/Buenos_Aires", true),
            ("America/Port-au-Prince", true),
            ("", false),
            ("/UTC", false),
            ("UTC/", false),
            ("../../etc/passwd", false),
            ("zone.tab", false),
            ("Europe Vienna", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(ZoneName::try_from(name.to_owned()).is_ok(), fits, "{name}");
        }
    }

    #[test]
    fn the_nearest_zone_is_offered() {
        let table = "# tzdb\nAT\t+4813+01620\tEurope/Vienna\nMX\t+3232-11701\tAmerica/Tijuana\tBaja California\n";
        for (name, want) in [
            (
                "Europe/Viena",
                "unknown time zone `Europe/Viena`, did you mean `Europe/Vienna`?",
            ),
            (
                "america/tijuana",
                "unknown time zone `america/tijuana`, did you mean `America/Tijuana`?",
            ),
            (
                "CEST",
                "unknown time zone `CEST`: there is none of this name",
            ),
        ] {
            let name = ZoneName::try_from(name.to_owned()).unwrap();
            assert_eq!(name.unknown(table), want);
        }
    }
}
