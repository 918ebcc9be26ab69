//! The services in the image.

use crate::effect::files::read_bounded;
use crate::paths::SERVICES;
use crate::plan::services::Services;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;
use tare_config::Service;
use tare_container::Bundle;

/// The longest `service.json` we read, in bytes; those we write are a tenth of that.
const MAX_MANIFEST: usize = 64 << 10;

/// The image's services by name.
pub(super) struct Installed {
    services: BTreeMap<String, Service>,
    /// Those that cannot be read.
    unreadable: Vec<String>,
}

/// The services that cannot be loaded, and whether the machine is not ready without them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Broken(BTreeMap<String, bool>);

impl Installed {
    /// Reads every `/services/NAME/service.json`. One that cannot be read is reported and left out:
    /// the image is verified, so this is a fault of its builder, and ssh may still come up.
    pub(super) fn load() -> io::Result<Self> {
        Self::read(Path::new(SERVICES))
    }

    fn read(folder: &Path) -> io::Result<Self> {
        let names = fs::read_dir(folder)?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok());
        let (mut services, mut unreadable) = (BTreeMap::new(), Vec::new());
        for name in names {
            match read_manifest(&folder.join(&name)) {
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

    /// Those that cannot be read. Each of them may be required.
    pub(super) fn broken(&self) -> Broken {
        let names = self.unreadable.iter();
        Broken(names.map(|name| (name.clone(), true)).collect())
    }

    pub(super) fn services(&self) -> Services {
        self.services.clone()
    }

    /// A service with the image's settings.
    pub(super) fn get(&self, name: &str) -> Option<Service> {
        self.services.get(name).cloned()
    }
}

impl Broken {
    pub(super) fn add(&mut self, name: &str, required: bool) {
        self.0.insert(name.to_owned(), required);
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Those without which the machine is not ready.
    pub(super) fn required(&self) -> impl Iterator<Item = &str> {
        let required = self.0.iter().filter(|(_, required)| **required);
        required.map(|(name, _)| name.as_str())
    }
}

/// Whether one of `services` reads what the others write, or will once it is added. Without it, nothing would.
pub(super) fn has_log(services: &Services, broken: &Broken) -> bool {
    let mut services = services.iter();
    services.any(|(name, service)| {
        service.process.collects_output && !broken.0.contains_key(name.as_str())
    })
}

/// The bundle of `service`, which the configuration may have changed.
///
/// The image also holds the spec as `config.json`, for other runtimes. We compile it again: one path for changed and
/// unchanged services, and PID 1 needs no spec parser (a third of its size).
pub(super) fn bundle(name: &str, service: &Service) -> Option<Bundle> {
    bundle_in(Path::new(SERVICES), name, service)
}

fn bundle_in(folder: &Path, name: &str, service: &Service) -> Option<Bundle> {
    // Instances share the folder of their service.
    let installed = name.split('.').next().unwrap_or(name);
    Bundle::of(&folder.join(installed), name, service)
        .map_err(|error| report(name, &error))
        .ok()
}

fn report(name: &str, error: &dyn std::fmt::Display) {
    log::error!("service {name}: {error}");
}

fn read_manifest(folder: &Path) -> io::Result<Service> {
    let bytes = read_bounded(&folder.join("service.json"), MAX_MANIFEST)?;
    serde_json::from_slice(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "description='x'\nprocess={args=['/x'],collects-output=true}";

    /// Calls `test` with a folder of these services: name and manifest.
    fn with_services<T>(name: &str, services: &[(&str, &str)], test: impl Fn(&Path) -> T) -> T {
        let folder = std::env::temp_dir().join(format!("tare-{name}-{}", std::process::id()));
        for (name, manifest) in services {
            fs::create_dir_all(folder.join(name)).unwrap();
            fs::write(folder.join(name).join("service.json"), manifest).unwrap();
        }
        let result = test(&folder);
        fs::remove_dir_all(&folder).unwrap();
        result
    }

    fn service(text: &str) -> Service {
        tare_config::parse("t", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_service_that_cannot_be_read_is_broken_and_the_others_are_there() {
        let whole = serde_json::to_string(&service(LOG)).unwrap();
        let half = &whole[..whole.len() / 2];
        let services = [("a", whole.as_str()), ("ssh", half), ("time", "")];
        let installed = with_services("read", &services, |folder| Installed::read(folder).unwrap());
        assert!(installed.services().keys().eq(["a"]));
        let broken = installed.broken();
        assert_eq!(broken.required().collect::<Vec<_>>(), ["ssh", "time"]);
    }

    #[test]
    fn the_machine_waits_for_what_is_required() {
        let mut broken = Broken::default();
        for (name, required) in [("metrics", false), ("ssh", true), ("time", true)] {
            broken.add(name, required);
        }
        broken.remove("time");
        assert_eq!(broken.names().collect::<Vec<_>>(), ["metrics", "ssh"]);
        assert_eq!(broken.required().collect::<Vec<_>>(), ["ssh"]);
    }

    #[test]
    fn a_filter_that_is_cut_off_breaks_its_service() {
        let bundle = |filter: &[u8]| {
            with_services("bundle", &[("a", "")], |folder| {
                fs::write(folder.join("a/seccomp.bpf"), filter).unwrap();
                bundle_in(folder, "a", &service(LOG)).is_some()
            })
        };
        assert_eq!([bundle(&[0; 16]), bundle(&[0; 11])], [true, false]);
    }

    #[test]
    fn a_log_that_cannot_be_loaded_is_no_log() {
        let services = Services::from([
            ("log".to_owned(), service(LOG)),
            (
                "a".to_owned(),
                service("description='x'\nprocess={args=['/x']}"),
            ),
        ]);
        for (name, want) in [("a", true), ("log", false)] {
            let mut broken = Broken::default();
            broken.add(name, false);
            assert_eq!(has_log(&services, &broken), want, "{name}");
        }
    }
}
