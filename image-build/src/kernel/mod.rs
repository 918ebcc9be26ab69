//! The kernel: Debian's source package, compiled with the options of `kernel-config/`, once.
//!
//! Result folders are kept in the cache under the hash of everything that affects them, and appear there atomically.
//! A kernel whose inputs have not changed is never rebuilt.

mod check;
mod fragment;
mod manifest;
mod merge;
mod toolchain;
mod tree;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use self::manifest::Platform;
use self::manifest::Recipe;
use self::tree::Tree;
use crate::apt::{Apt, Deb};
use crate::progress::{Progress, Stage};
use crate::{cache, digest};

/// Changed whenever the code of this module makes a different kernel from the same inputs.
const BUILDER: &str = "1";

/// A built kernel in the cache.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// What firmware or QEMU loads: the `bzImage`.
    pub image: PathBuf,
    /// A tree to lay over the root file system: `usr/lib/modules/VERSION/`.
    pub modules: PathBuf,
    /// The complete `.config`.
    pub config: PathBuf,
    /// The output of `uname -r`.
    pub version: String,
    /// The source package it was made from.
    pub source: Deb,
}

/// Builds the kernel for `platform` that `kernel.toml` in the folder `description` describes, or finds it in
/// `cache`.
///
/// # Errors
/// An unreadable or contradictory description, no source package, requested options that did not take effect, or the
/// compiler's failure.
pub fn build(
    description: &Path,
    platform: Platform,
    cache: &Path,
    progress: &Progress,
) -> Result<Kernel> {
    let recipe = Recipe::read(description, platform)?;
    let (source, folder) = progress.stage("Kernel source", |stage| {
        let source = fetch(&recipe.manifest.source, cache, stage)?;
        let key = key(&recipe, &source, &toolchain::versions(stage)?);
        Ok((source, cache.join("kernel").join(key)))
    })?;
    if !folder.exists() {
        let steps = recipe.manifest.compile_steps.of(platform);
        make(&recipe, steps, &source, &folder, progress)?;
    }
    Kernel::open(&folder, source)
}

/// Options in the finished configuration `config` (the text of a `.config`) that may not be off unless a fragment of
/// `description` says so, and that no fragment names. The build has switched them on.
///
/// # Errors
/// An unreadable or contradictory description, or `config` is not a `.config`.
pub fn unnamed_options(
    description: &Path,
    platform: Platform,
    config: &str,
) -> Result<Vec<String>> {
    let recipe = Recipe::read(description, platform)?;
    let config = check::DotConfig::parse(config)?;
    let families = &recipe.manifest.never_off;
    Ok(check::unnamed(&recipe.requests, families, &config))
}

impl Kernel {
    fn open(folder: &Path, source: Deb) -> Result<Self> {
        let version = fs::read_to_string(folder.join("version"))
            .with_context(|| format!("read version in {}", folder.display()))?;
        Ok(Self {
            image: folder.join("bzImage"),
            modules: folder.join("modules"),
            config: folder.join("config"),
            version,
            source,
        })
    }
}

fn fetch(package: &str, cache: &Path, stage: &Stage) -> Result<Deb> {
    // Its dependencies (binutils, xz-utils) unpack and compile it; this machine has them.
    let assumed = ["binutils", "xz-utils"].map(str::to_owned);
    let debs = Apt::open(cache, stage)?.download(&[package.to_owned()], &assumed)?;
    let source = debs.into_iter().find(|deb| deb.package == package);
    let source = source.with_context(|| format!("apt did not return {package}"))?;
    stage.message(&source.version);
    Ok(source)
}

/// The hash of all inputs.
fn key(recipe: &Recipe, source: &Deb, toolchain: &str) -> String {
    let base = recipe.manifest.base.target();
    let requests = merge::render(&recipe.requests);
    let inputs = [BUILDER, &source.sha256, toolchain, base, &requests].join("\n");
    digest::hex(inputs.as_bytes())
}

/// Makes the result `folder`, unless another process has made it while this one waited. The build tree
/// of a failed attempt stays in `work` beside it until the next one.
fn make(
    recipe: &Recipe,
    steps: u64,
    source: &Deb,
    folder: &Path,
    progress: &Progress,
) -> Result<()> {
    let Some(kernels) = folder.parent() else {
        bail!("{} is no folder in a cache", folder.display());
    };
    fs::create_dir_all(kernels).with_context(|| format!("create {}", kernels.display()))?;
    let _lock = cache::lock(&kernels.join("lock"))?;
    if folder.exists() {
        return Ok(());
    }
    let work = kernels.join("work");
    remove_tree(&work)?;
    let out = work.join("out");
    let tree = progress.stage("Kernel configuration", |stage| {
        let tree = Tree::unpack(source, &work, stage)?;
        tree.configure(recipe, stage)?;
        Ok(tree)
    })?;
    progress.stage("Kernel", |stage| tree.compile(steps, stage))?;
    progress.stage("Kernel modules", |stage| tree.install(&out, stage))?;
    fs::rename(&out, folder).with_context(|| format!("make {}", folder.display()))?;
    remove_tree(&work)
}

fn remove_tree(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key_of(fragment: &str, sha256: &str, toolchain: &str) -> String {
        let manifest = "source = 's'\nbase = 'allnoconfig'\ncompile-steps = { vm = 1, metal = 1 }\nfragment = []";
        let recipe = Recipe {
            manifest: toml::from_str(manifest).unwrap(),
            requests: fragment::parse("a.config", fragment).unwrap(),
        };
        let source = Deb {
            package: "s".to_owned(),
            version: "6.12.1-1".to_owned(),
            architecture: "all".to_owned(),
            sha256: sha256.to_owned(),
            size: 1,
            path: PathBuf::from("/cache/s.deb"),
        };
        key(&recipe, &source, toolchain)
    }

    #[test]
    fn the_key_follows_what_shapes_the_kernel_and_nothing_else() {
        let first = key_of("CONFIG_A=y", "00", "gcc 12");
        for (other, same) in [
            (key_of("# why\nCONFIG_A=y\n", "00", "gcc 12"), true),
            (key_of("CONFIG_A=m", "00", "gcc 12"), false),
            (key_of("CONFIG_A=y", "01", "gcc 12"), false),
            (key_of("CONFIG_A=y", "00", "gcc 14"), false),
        ] {
            assert_eq!(first == other, same);
        }
    }
}
