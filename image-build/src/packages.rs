//! Which Debian packages each part of the image needs, and their files in the cache.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use anyhow::Result;
use tare_config::Service;

use crate::apt::{Apt, Deb};
use crate::progress::Stage;
use crate::recipe::Preloaded;
use crate::rootfs::Layer;

/// The packages of every service with a root filesystem of its own, and of every preloaded image.
#[derive(Debug, Default)]
pub(crate) struct Packages {
    pub(crate) services: BTreeMap<String, Vec<Deb>>,
    pub(crate) images: BTreeMap<String, Vec<Deb>>,
}

impl Packages {
    /// Resolves and downloads.
    ///
    /// # Errors
    /// apt's failure, with the stage's log.
    pub(crate) fn fetch(
        services: &BTreeMap<String, Service>,
        images: &[Preloaded],
        apt: &Apt,
    ) -> Result<Self> {
        let mut packages = Self::default();
        for (name, service) in services {
            let image = &service.image;
            if image.from.is_none() && !image.packages.is_empty() {
                let debs = apt.download(&image.packages, &image.assume_installed)?;
                packages.services.insert(name.clone(), debs);
            }
        }
        for image in images {
            let mut debs = apt.download(&image.packages, &[])?;
            debs.retain(|deb| image.packages.contains(&deb.package));
            packages.images.insert(image.name.clone(), debs);
        }
        Ok(packages)
    }

    /// The packages of service `name`, none if it has only our own binary.
    pub(crate) fn of_service(&self, name: &str) -> &[Deb] {
        self.services.get(name).map_or(&[], Vec::as_slice)
    }

    /// All packages, each once, by name.
    pub(crate) fn all(&self) -> Vec<Deb> {
        let parts = self.services.values().chain(self.images.values());
        let mut all: Vec<Deb> = parts.flatten().cloned().collect();
        all.sort_by(|a, b| (&a.package, &a.version).cmp(&(&b.package, &b.version)));
        all.dedup();
        all
    }
}

/// Unpacks into `cache` the packages that are not there yet, `jobs` at a time. Returns how many bytes smaller than in
/// the packages their Go programs are.
///
/// # Errors
/// The first package that cannot be unpacked.
pub(crate) fn unpack(debs: &[Deb], cache: &Path, jobs: usize, stage: &Stage) -> Result<u64> {
    let next = AtomicUsize::new(0);
    let saved = AtomicU64::new(0);
    let result = Mutex::new(Ok(()));
    let work = || {
        while let Some(deb) = debs.get(next.fetch_add(1, Ordering::Relaxed)) {
            stage.position(next.load(Ordering::Relaxed) as u64);
            match Layer::open(cache, deb, stage) {
                Ok(layer) => _ = saved.fetch_add(layer.saved(), Ordering::Relaxed),
                Err(error) => {
                    if let Ok(mut first) = result.lock() {
                        *first = Err(error);
                    }
                    return;
                }
            }
        }
    };
    stage.total(debs.len() as u64);
    thread::scope(|scope| (0..jobs).for_each(|_| drop(scope.spawn(work))));
    result.into_inner().unwrap_or(Ok(()))?;
    Ok(saved.into_inner())
}
