//! The root filesystem of a service, assembled as data from Debian packages, our own binaries and
//! files of the source tree.

mod finish;
mod layer;
mod linker;
mod manual;
mod plugins;
mod slim;
pub(crate) mod tree;
mod trim;
mod users;

use std::path::Path;

use anyhow::{Context, Result};
use tare_config::service::Image;

use crate::apt::Deb;
use crate::binaries::Binaries;
use crate::progress::Stage;
use crate::tools::Tools;
pub(crate) use layer::Layer;
use tree::{Content, Node, Tree};

/// What root filesystems are made with.
#[derive(Debug)]
pub(crate) struct Workshop<'a> {
    pub(crate) cache: &'a Path,
    pub(crate) tools: &'a Tools,
    pub(crate) binaries: &'a Binaries,
    pub(crate) stage: &'a Stage,
}

/// A root filesystem, and the newest modification time among its packages (seconds since 1970).
#[derive(Debug, Clone)]
pub(crate) struct Rootfs {
    pub(crate) tree: Tree,
    pub(crate) newest: u64,
}

impl Workshop<'_> {
    /// Assembles the root filesystem that `image` describes from `debs`, with the files of the folder
    /// `overlay` laid over it.
    ///
    /// # Errors
    /// A package cannot be unpacked, or a file not read.
    pub(crate) fn assemble(&self, image: &Image, debs: &[Deb], overlay: &Path) -> Result<Rootfs> {
        let mut tree = finish::skeleton();
        let newest = self.apply_packages(debs, &mut tree)?;
        users::write(&mut tree)?;
        trim::trim(&mut tree);
        finish::run_scripts(&mut tree)?;
        tree.lay_over(overlay)?;
        self.add_binaries(&image.binaries, &mut tree)?;
        for path in &image.remove {
            tree.remove(path);
        }
        finish::link_host_facts(&mut tree);
        plugins::add_scripts(&mut tree, self.tools, self.cache, self.stage)?;
        trim::disarm(&mut tree);
        linker::add_cache(&mut tree, self.tools, self.cache, self.stage)?;
        Ok(Rootfs { tree, newest })
    }

    fn apply_packages(&self, debs: &[Deb], tree: &mut Tree) -> Result<u64> {
        let mut newest = 0;
        for deb in debs {
            self.stage.message(&deb.package);
            let layer = Layer::open(self.cache, deb, self.stage)?;
            newest = newest.max(layer.newest());
            layer.apply(tree);
        }
        Ok(newest)
    }

    fn add_binaries(&self, packages: &[String], tree: &mut Tree) -> Result<()> {
        for package in packages {
            let binary = self
                .binaries
                .of(package)
                .with_context(|| format!("package {package} of this workspace has no binary"))?;
            let content = Content::of_file(&binary.path)?;
            let path = format!("usr/bin/{}", binary.name);
            tree.put(&path, Node::file(0o755, content));
            manual::add(package, tree)?;
        }
        Ok(())
    }
}
