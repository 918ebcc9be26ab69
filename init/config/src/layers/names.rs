//! Names that must exist, or be well-formed.

use super::CheckZone;
use crate::error::unknown;
use crate::machine::{UserName, ZoneName};
use crate::service::{Condition, Services};
use crate::text::name;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// The names in `section` that are wrong on a machine whose image has the services `image` and the time zones of `zones`: where,
/// and why.
///
/// Services must be in the image, also those that others wait for. Names of apps, disks, jobs, links and users must be well-formed.
pub(super) fn wrong(
    section: &DeTable<'_>,
    image: &Services,
    zones: Option<CheckZone>,
) -> Vec<(Range<usize>, String)> {
    let known = |key: &str| match image.contains_key(key) {
        true => Ok(()),
        false => {
            let names: Vec<&str> = image.keys().map(String::as_str).collect();
            Err(unknown("service", key, &names))
        }
    };
    let mut found = Vec::new();
    let mut check = |span: Range<usize>, result: Result<(), String>| {
        if let Err(message) = result {
            found.push((span, message));
        }
    };
    for (path, rule) in [
        (
            &["services"][..],
            &known as &dyn Fn(&str) -> Result<(), String>,
        ),
        (&["apps"], &name),
        (&["disks"], &name),
        (&["jobs"], &name),
        (&["network", "interfaces"], &link_name),
        (&["users"], &user_name),
    ] {
        for key in table_at(section, path).into_iter().flat_map(DeTable::keys) {
            check(key.span(), rule(key.get_ref()));
        }
    }
    let services = table_at(section, &["services"])
        .into_iter()
        .flat_map(DeTable::values);
    for service in services {
        for condition in conditions(service.get_ref()).into_iter().flatten() {
            let written = condition.get_ref().as_str().unwrap_or_default();
            let read = Condition::try_from(written.to_owned()).ok();
            let subject = read.as_ref().and_then(Condition::subject);
            check(condition.span(), subject.map_or(Ok(()), known));
        }
    }
    let time = table_at(section, &["time"]);
    if let (Some(zone), Some(exists)) = (time.and_then(|time| time.get("zone")), zones) {
        let written = zone.get_ref().as_str().unwrap_or_default();
        let read = ZoneName::try_from(written.to_owned()).ok();
        check(zone.span(), read.as_ref().map_or(Ok(()), exists));
    }
    found
}

fn table_at<'a, 't>(table: &'a DeTable<'t>, path: &[&str]) -> Option<&'a DeTable<'t>> {
    path.iter()
        .try_fold(table, |table, key| table.get(*key)?.get_ref().as_table())
}

/// What a service waits for.
fn conditions<'a, 't>(service: &'a DeValue<'t>) -> Option<&'a DeArray<'t>> {
    let lifecycle = service.get("lifecycle")?;
    let after = lifecycle.get_ref().get("after").map(Spanned::get_ref)?;
    after.as_array()
}

fn user_name(name: &str) -> Result<(), String> {
    UserName::try_from(name.to_owned()).map(drop)
}

/// The kernel's rule for link names (`dev_valid_name`, net/core/dev.c).
fn link_name(name: &str) -> Result<(), String> {
    let fits = |c: char| !c.is_whitespace() && c != '/' && c != ':' && !c.is_control();
    if (1..16).contains(&name.len()) && name != "." && name != ".." && name.chars().all(fits) {
        return Ok(());
    }
    Err(format!(
        "`{name}` is not a link name: 1 to 15 bytes, no space, `/` or `:`"
    ))
}
