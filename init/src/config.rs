//! From the sources of this machine to its configuration.

use crate::effect::files::read_bounded;
use crate::effect::userdata;
use crate::paths::DEFAULTS;
use std::path::Path;
use tare_config::{Layer, MAX_BYTES, Machine, merge};

/// Loads every layer: the image's, then each source's. A bad layer is refused whole and what that
/// source held when it was last good stands in; nothing here can fail.
pub(crate) fn load(services: &[&str]) -> Machine {
    let mut layers: Vec<Layer> = image_layer(services).into_iter().collect();
    layers.extend(
        userdata::SOURCES
            .iter()
            .filter_map(|source| user_layer(source, services)),
    );
    merge_what_fits(&layers)
}

fn image_layer(services: &[&str]) -> Option<Layer> {
    let bytes = read_bounded(Path::new(DEFAULTS), MAX_BYTES).ok()?;
    check("image", &bytes, services)
}

fn user_layer(source: &str, services: &[&str]) -> Option<Layer> {
    let read = userdata::read(source).unwrap_or_else(|error| {
        log::error!("user-data of {source} cannot be read: {error}");
        None
    });
    let fresh = read
        .as_ref()
        .and_then(|bytes| check(source, bytes, services));
    match (&fresh, &read) {
        (Some(_), Some(bytes)) => {
            log::info!("user-data of {source}: {} bytes, in force", bytes.len());
            userdata::remember(source, bytes).unwrap_or_else(|error| {
                log::warn!("user-data of {source} cannot be remembered: {error}")
            });
        }
        (None, Some(_)) => log::error!(
            "user-data of {source} is refused whole; the last good one is used, or none"
        ),
        _ => {}
    }
    fresh.or_else(|| remembered_layer(source, services))
}

fn remembered_layer(source: &str, services: &[&str]) -> Option<Layer> {
    let layer = check(source, &userdata::remembered(source)?, services)?;
    log::info!("user-data of {source}: as it was when it was last good");
    Some(layer)
}

fn check(source: &str, bytes: &[u8], services: &[&str]) -> Option<Layer> {
    Layer::parse(source, bytes, services)
        .map_err(|error| log::error!("user-data: {error}"))
        .ok()
}

/// Layers that are right alone are right together but for kinds of values that no layer has; should
/// that ever fail, the weaker layers stand.
fn merge_what_fits(layers: &[Layer]) -> Machine {
    for end in (0..=layers.len()).rev() {
        match merge(&layers[..end]) {
            Ok((machine, _)) => return machine,
            Err(error) => log::error!("user-data: {error}"),
        }
    }
    Machine::default()
}
