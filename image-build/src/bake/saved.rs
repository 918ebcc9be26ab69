//! An image as it was fetched, and as it lies in the disk image.
//!
//! `skopeo copy … dir:FOLDER` leaves an image's manifest in `manifest.json`, and each layer and the configuration in a
//! file that is named by its SHA-256. In the disk image it is a folder with the files of `docker save`, so equal layers
//! of several images are one file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::reference::{Reference, sha256};
use super::refuse::PLATFORM;
use crate::rootfs::tree::{Content, Node, Slice, Tree};

/// An image that goes into the disk image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Saved {
    pub(crate) reference: Reference,
    folder: PathBuf,
    config: Blob,
    layers: Vec<Blob>,
}

/// A file of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Blob {
    sha256: String,
    size: u64,
}

/// Those of Docker (schema 2) and of the OCI have the same keys.
#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

impl Saved {
    /// Reads the image that skopeo has left in `folder`.
    ///
    /// # Errors
    /// It is of another platform, or not complete.
    pub(crate) fn read(reference: Reference, folder: &Path) -> Result<Self> {
        let manifest = read(&folder.join("manifest.json"))?;
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .with_context(|| format!("{reference} is in a format of before 2016"))?;
        let blob = |descriptor: &Descriptor| Blob::of(&descriptor.digest, folder);
        let layers = manifest.layers.iter().map(blob).collect::<Result<_>>()?;
        let config = blob(&manifest.config)?;
        check_platform(&read(&folder.join(&config.sha256))?)
            .with_context(|| format!("{reference} cannot run here"))?;
        Ok(Self {
            reference,
            folder: folder.to_owned(),
            config,
            layers,
        })
    }

    /// The id that it has in the engine, in hexadecimal.
    pub(crate) fn id(&self) -> &str {
        &self.config.sha256
    }

    /// Identifies its content and its name.
    pub(crate) fn key(&self) -> String {
        let layers: Vec<&str> = self.layers.iter().map(|blob| &*blob.sha256).collect();
        format!(
            "{} {} {}",
            self.reference.local(),
            self.id(),
            layers.join(" ")
        )
    }

    /// The files of `docker save`. Layers stay compressed as they came.
    ///
    /// # Errors
    /// The manifest cannot be written.
    pub(crate) fn tree(&self) -> Result<Tree> {
        let mut tree = Tree::default();
        for blob in self.layers.iter().chain([&self.config]) {
            let path: Arc<Path> = self.folder.join(&blob.sha256).into();
            let whole = Slice {
                offset: 0,
                size: blob.size,
                sha256: blob.sha256.clone(),
            };
            tree.put(
                &blob.path(),
                Node::file(0o644, Content::of_slice(&path, &whole)),
            );
        }
        let layers: Vec<String> = self.layers.iter().map(Blob::path).collect();
        let manifest = json!([{
            "Config": self.config.path(),
            "RepoTags": [self.reference.local()],
            "Layers": layers,
        }]);
        tree.put_text("manifest.json", 0o644, &serde_json::to_string(&manifest)?);
        Ok(tree)
    }
}

impl Blob {
    fn of(digest: &str, folder: &Path) -> Result<Self> {
        let sha256 = sha256(digest).with_context(|| format!("{digest} is not a SHA-256"))?;
        let path = folder.join(sha256);
        let file = fs::metadata(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(Self {
            sha256: sha256.to_owned(),
            size: file.len(),
        })
    }

    /// In an archive of `docker save`.
    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.sha256)
    }
}

/// Of the image's configuration, where the OCI image specification has it.
fn check_platform(config: &[u8]) -> Result<()> {
    let config: Value = serde_json::from_slice(config).context("read its configuration")?;
    let text = |key: &str| config[key].as_str().unwrap_or("unknown").to_owned();
    let platform = format!("{}/{}", text("os"), text("architecture"));
    ensure!(
        platform == PLATFORM,
        "it is for {platform}, the machine is {PLATFORM}"
    );
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest;
    use crate::rootfs::tree::Kind;

    /// An image of one layer, as skopeo leaves it.
    fn folder(name: &str, architecture: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tare-saved-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let config = json!({"os": "linux", "architecture": architecture}).to_string();
        let put = |text: &str| {
            let hex = digest::hex(text.as_bytes());
            fs::write(folder.join(&hex), text).unwrap();
            json!({"digest": format!("sha256:{hex}"), "size": text.len()})
        };
        let manifest = json!({"config": put(&config), "layers": [put("layer")]});
        fs::write(folder.join("manifest.json"), manifest.to_string()).unwrap();
        folder
    }

    #[test]
    fn its_files_are_those_of_docker_save() {
        let folder = folder("files", "amd64");
        let reference = Reference::parse("shop/web").unwrap();
        let saved = Saved::read(reference, &folder).unwrap();
        let tree = saved.tree().unwrap();
        let files = tree.iter().filter(|(_, node)| !node.is_directory());
        let files: Vec<&str> = files.map(|(path, _)| path).collect();
        let layer = format!("blobs/sha256/{}", digest::hex(b"layer"));
        let config = format!("blobs/sha256/{}", saved.id());
        let mut want = vec![layer.as_str(), config.as_str(), "manifest.json"];
        want.sort_unstable();
        assert_eq!(files, want);
        let manifest = tree.read("manifest.json").unwrap().unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        let want = json!([{"Config": config, "Layers": [layer], "RepoTags": ["shop/web:latest"]}]);
        assert_eq!(manifest, want);
        let Kind::File(content) = &tree.get(&layer).unwrap().kind else {
            panic!("{layer} is not a file");
        };
        assert_eq!(content.read().unwrap(), b"layer");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_image_for_other_machines_is_refused() {
        let folder = folder("platform", "arm64");
        let reference = Reference::parse("shop/arm").unwrap();
        let error = Saved::read(reference, &folder).unwrap_err();
        assert_eq!(
            format!("{error:#}"),
            "shop/arm:latest cannot run here: it is for linux/arm64, the machine is linux/amd64"
        );
        fs::remove_dir_all(folder).unwrap();
    }
}
