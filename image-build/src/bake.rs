//! Apps and container images that are put into the disk image, so that the machine pulls nothing.

mod compose;
mod fetch;
mod files;
mod reference;
mod refuse;
mod saved;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::apt::Apt;
use crate::build::BuildOptions;
use crate::progress::{Progress, Stage};
use crate::rootfs::tree::Tree;
use crate::tools::Tools;
use fetch::Store;
pub(crate) use saved::Saved;

/// Compose, which is also what starts apps on the machine, and the fetcher.
const PACKAGES: &[&str] = &["docker-compose", "skopeo"];
/// Settings, and programs that check signatures.
const ASSUMED: &[&str] = &["debconf", "gnupg", "golang-github-containers-common"];

/// Where the engine finds images (`system-services/engine`).
const FOLDER: &str = "usr/share/tare/images";

/// What to do about an image that could not be fetched.
const INSTEAD: &str = "the lines above say why. Check its name; for a registry that wants a login, `docker login` here; \
    an image that is on this machine goes into a file by `docker save`, which `--bake-archive` takes";

/// What `--bake` and `--bake-archive` add to an image.
#[derive(Debug, Default)]
pub(crate) struct Baked {
    /// Compose specifications by the app's name.
    pub(crate) apps: BTreeMap<String, String>,
    /// Of the apps, at their places in the disk image.
    pub(crate) files: Tree,
    /// By the name on the machine.
    images: BTreeMap<String, Saved>,
}

impl Baked {
    /// Reads the files of `options`, and fetches what is not in the cache.
    ///
    /// # Errors
    /// The first file that cannot be baked, and why.
    pub(crate) fn gather(
        options: &BuildOptions,
        cache: &Path,
        progress: &Progress,
    ) -> Result<Self> {
        if options.bake.is_empty() && options.bake_archives.is_empty() {
            return Ok(Self::default());
        }
        progress.stage("Baked apps", |stage| {
            let apt = Apt::open(cache, stage)?;
            let tools = Tools::of(PACKAGES, ASSUMED, cache, &apt, stage)?;
            let store = Store::open(cache, &tools, options.refresh, stage)?;
            let mut baked = Self::default();
            for archive in &options.bake_archives {
                let of = || archive.display().to_string();
                baked.add_archive(archive, &store).with_context(of)?;
            }
            for file in &options.bake {
                let of = || file.display().to_string();
                baked
                    .add_app(file, &tools, &store, stage)
                    .with_context(of)?;
            }
            stage.message(&format!(
                "{} apps with {} files, {} images",
                baked.apps.len(),
                baked
                    .files
                    .iter()
                    .filter(|(_, node)| !node.is_directory())
                    .count(),
                baked.images.len()
            ));
            Ok(baked)
        })
    }

    fn add_archive(&mut self, archive: &Path, store: &Store) -> Result<()> {
        for image in store.unpack(archive)? {
            let name = image.reference.local();
            let known = self.images.insert(name.clone(), image);
            ensure!(known.is_none(), "another archive has {name}, too");
        }
        Ok(())
    }

    fn add_app(&mut self, file: &Path, tools: &Tools, store: &Store, stage: &Stage) -> Result<()> {
        let app = compose::read(file, tools, stage)?;
        for (service, reference) in &app.images {
            if let Entry::Vacant(image) = self.images.entry(reference.local()) {
                let why = || {
                    format!("services.{service}.image: {reference} could not be fetched; {INSTEAD}")
                };
                image.insert(store.fetch(reference).with_context(why)?);
            }
        }
        for (path, node) in app.files.iter() {
            self.files.put(path, node.clone());
        }
        let known = self.apps.insert(app.name.clone(), app.text);
        ensure!(
            known.is_none(),
            "another file has an app {}, too: write `name` at the top of one",
            app.name
        );
        Ok(())
    }

    pub(crate) fn images(&self) -> impl Iterator<Item = &Saved> {
        self.images.values()
    }

    /// Puts the apps' files and the images where the machine looks for them.
    ///
    /// # Errors
    /// As [`Saved::tree`].
    pub(crate) fn add_to(&self, root: &mut Tree) -> Result<()> {
        root.ensure_directory(files::FOLDER, 0o755);
        for (path, node) in self.files.iter() {
            root.put(path, node.clone());
        }
        for image in self.images.values() {
            let folder = format!("{FOLDER}/{}", image.reference.folder());
            root.graft(&folder, &image.tree()?);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
