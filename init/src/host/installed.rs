//! The services that the image brings.

use crate::effect::files::read_bounded;
use crate::paths::SERVICES;
use crate::plan::services::Services;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use tare_config::Service;
use tare_container::{Bundle, Users, compile};

/// The longest `service.json` we read, in bytes; those we write have a tenth of it.
const MAX_MANIFEST: usize = 64 << 10;

/// The image's services by name.
pub(super) struct Installed(BTreeMap<String, Service>);

impl Installed {
    /// Reads every `/services/NAME/service.json`. One that cannot be read is reported and left out:
    /// the image is verified, so this is a fault of its builder, and ssh may still come up.
    pub(super) fn load() -> io::Result<Self> {
        let names = fs::read_dir(SERVICES)?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let read = |name: String| match read_manifest(&name) {
            Ok(service) => Some((name, service)),
            Err(error) => {
                report(&name, &error);
                None
            }
        };
        Ok(Self(names.filter_map(read).collect()))
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn services(&self) -> Services {
        self.0.clone()
    }

    /// A service as the image has it.
    pub(super) fn take(&self, name: &str) -> Option<(Service, Bundle)> {
        let service = self.0.get(name)?.clone();
        let bundle = load(name).map_err(|error| report(name, &error)).ok()?;
        Some((service, bundle))
    }

    /// The bundle of `service`: the image's, or made anew if the configuration `changed` it.
    pub(super) fn bundle(&self, name: &str, service: &Service, changed: bool) -> Option<Bundle> {
        let bundle = load(name).and_then(|bundle| match changed {
            true => recompiled(bundle, name, service),
            false => Ok(bundle),
        });
        bundle.map_err(|error| report(name, &error)).ok()
    }
}

fn load(name: &str) -> Result<Bundle, String> {
    Bundle::load(&folder(name)).map_err(|error| error.to_string())
}

/// `bundle` with the spec that follows from `service`; rights do not change, so neither does the
/// seccomp filter.
fn recompiled(bundle: Bundle, name: &str, service: &Service) -> Result<Bundle, String> {
    let passwd = bundle.path.join("rootfs/etc/passwd");
    let bytes = read_bounded(&passwd, MAX_MANIFEST)
        .map_err(|error| format!("{}: {error}", passwd.display()))?;
    let users = Users::parse(&String::from_utf8_lossy(&bytes));
    let spec = compile(name, service, &users).map_err(|error| error.to_string())?;
    Ok(Bundle { spec, ..bundle })
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
