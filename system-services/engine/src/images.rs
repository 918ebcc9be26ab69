//! Images that came with the disk image.

use crate::api;
use crate::archive::{self, Archive, Image};
use anyhow::{Context, Result, ensure};
use sd_notify::NotifyState;
use std::fs::File;
use std::path::{Path, PathBuf};
use tare_engine_api::Engine;

/// The argument that selects [`load_all`].
pub(crate) const ARGUMENT: &str = "load-images";
/// Images in the format of `docker save`: archives, and folders with the files of one.
const FOLDER: &str = "/images";
/// Where the engine keeps images.
const STORE: &str = "/var/lib/docker";
/// How long one image may take, in microseconds: 15 minutes.
const TIME: u32 = 15 * 60 * 1_000_000;

/// Loads every image of the disk image that the engine does not have yet.
///
/// # Errors
/// If some could not be loaded, each of which is reported.
pub(crate) fn load_all() -> Result<()> {
    let engine = Engine::new(tare_engine_api::SOCKET);
    let (mut failures, mut loaded) = (0, false);
    for path in archives(Path::new(FOLDER)).with_context(|| FOLDER.to_owned())? {
        match load(&engine, &path) {
            Ok(Outcome::Present) => eprintln!("{}: the engine has it", path.display()),
            Ok(Outcome::Loaded) => {
                eprintln!("{}: loaded", path.display());
                loaded = true;
            }
            Err(error) => {
                eprintln!("{}: {error:#}", path.display());
                failures += 1;
            }
        }
    }
    if loaded {
        sync(STORE)?;
    }
    ensure!(failures == 0, "{failures} images could not be loaded");
    Ok(())
}

/// What is in the folder: archives, and folders with the files of one.
fn archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

/// What became of an archive.
enum Outcome {
    Present,
    Loaded,
}

fn load(engine: &Engine, path: &Path) -> Result<Outcome> {
    let images = archive::images(path)?;
    if !images.is_empty() && has_all(engine, &images)? {
        return Ok(Outcome::Present);
    }
    extend_start();
    api::load(engine, Archive::open(path, &images)?)?;
    Ok(Outcome::Loaded)
}

/// The engine counts as started only when images are loaded, and a large one on a slow disk takes its time.
fn extend_start() {
    if let Err(error) = sd_notify::notify(&[NotifyState::ExtendTimeoutUsec(TIME)]) {
        eprintln!("notify: {error}");
    }
}

/// Whether the engine has each image, by its own name. After a power cut it may have lost the name, and the name may have
/// become another image's: of another disk image, or of one that was pulled.
fn has_all(engine: &Engine, images: &[Image]) -> Result<bool> {
    for image in images {
        let Some(id) = id(&image.config) else {
            return Ok(false);
        };
        let tags = image.repo_tags.iter().flatten();
        for name in tags.chain([&id]) {
            if api::image_id(engine, name)?.as_ref() != Some(&id) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// Waits until all that was written below `folder` is on disk: the engine does not, and what it wrote last is what
/// names an image.
fn sync(folder: &str) -> Result<()> {
    let folder = File::open(folder).with_context(|| format!("open {folder}"))?;
    rustix::fs::syncfs(folder).context("write the images to disk")
}

/// The id of an image, which is the digest of its configuration, by the configuration's file: `HEX.json` (Docker) or
/// `blobs/sha256/HEX` (OCI). `None` if it has another name; only loading the image shows its id.
fn id(config: &str) -> Option<String> {
    let name = config.rsplit('/').next()?;
    let digest = name.strip_suffix(".json").unwrap_or(name);
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| format!("sha256:{digest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_names_of_configurations() {
        let hex = "0123456789abcdef".repeat(4);
        let want = format!("sha256:{hex}");
        for (config, want) in [
            (format!("{hex}.json"), Some(&want)),
            (format!("blobs/sha256/{hex}"), Some(&want)),
            ("config.json".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(id(&config).as_ref(), want, "{config}");
        }
    }
}
