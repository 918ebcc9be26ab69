//! The services in the image.

use crate::effect::files::read_bounded;
use crate::paths::SERVICES;
use crate::plan::services::Services;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tare_config::Service;
use tare_container::Bundle;

/// The longest `service.json` we read, in bytes; those we write are a tenth of that.
const MAX_MANIFEST: usize = 64 << 10;

/// The image's services by name.
pub(super) struct Installed {
    services: BTreeMap<String, Service>,
    /// Those that cannot be read, which may be required.
    unreadable: Vec<String>,
}

impl Installed {
    /// Reads every `/services/NAME/service.json`. One that cannot be read is reported and left out:
    /// the image is verified, so this is a fault of its builder, and ssh may still come up.
    pub(super) fn load() -> io::Result<Self> {
        let names = fs::read_dir(SERVICES)?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let (mut services, mut unreadable) = (BTreeMap::new(), Vec::new());
        for name in names {
            match read_manifest(&name) {
                Ok(service) => drop(services.insert(name, service)),
                Err(error) => {
                    report(&name, &error);
                    unreadable.push(name);
                }
            }
        }
        Ok(Self {
            services,
            unreadable,
        })
    }

    pub(super) fn unreadable(&self) -> &[String] {
        &self.unreadable
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.services.keys().cloned().collect()
    }

    pub(super) fn services(&self) -> Services {
        self.services.clone()
    }

    /// A service with the image's settings.
    pub(super) fn get(&self, name: &str) -> Option<Service> {
        self.services.get(name).cloned()
    }
}

/// The bundle of `service`, which the configuration may have changed.
///
/// The image also holds the spec as `config.json`, for other runtimes. We compile it again: one path for changed and
/// unchanged services, and PID 1 needs no spec parser (a third of its size).
pub(super) fn bundle(name: &str, service: &Service) -> Option<Bundle> {
    // Instances share the folder of their service.
    let installed = name.split('.').next().unwrap_or(name);
    Bundle::of(&folder(installed), name, service)
        .map_err(|error| report(name, &error))
        .ok()
}

fn report(name: &str, error: &dyn std::fmt::Display) {
    log::error!("service {name}: {error}");
}

fn folder(name: &str) -> PathBuf {
    Path::new(SERVICES).join(name)
}

fn read_manifest(name: &str) -> io::Result<Service> {
    let bytes = read_bounded(&folder(name).join("service.json"), MAX_MANIFEST)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}
