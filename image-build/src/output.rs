//! The finished image: its files, and the manifest that describes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cache;
use crate::digest;
use crate::progress::Progress;

/// A built disk image and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The disk as a sparse file.
    pub raw: PathBuf,
    /// The disk in QEMU's format, once [`Image::convert`] has been called.
    pub qcow2: PathBuf,
    /// The kernel alone (`bzImage`), for a boot without firmware.
    pub kernel: PathBuf,
    /// The kernel's configuration, its `.config`.
    pub kernel_config: PathBuf,
    /// The kernel's command line, with dm-verity's table and root hash.
    pub cmdline: String,
    /// The kernel with its command line, as firmware starts it.
    pub uki: PathBuf,
    /// The system partition's content: EROFS and its hash tree.
    pub system: PathBuf,
    /// The command `tare`, for any Linux machine with the same processor.
    pub command: PathBuf,
    /// The JSON Schema of user-data, for editors.
    pub schema: PathBuf,
    /// What the image is made of: SPDX 2.3 in JSON.
    pub sbom: PathBuf,
    /// Sizes and hashes of these files (not of the conversion) and the command line, in JSON.
    pub manifest: PathBuf,
}

/// The manifest, `image.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Manifest {
    pub(crate) version: String,
    /// Hash over everything that the image was made from.
    pub(crate) inputs: String,
    /// Newest of the packages' files, seconds since 1970: the time of every file in the image.
    pub(crate) time: u64,
    pub(crate) root_hash: String,
    pub(crate) cmdline: String,
    pub(crate) files: Vec<FileEntry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileEntry {
    name: String,
    size: u64,
    sha256: String,
}

impl Image {
    /// The paths of an image's files in the folder `output`.
    pub(crate) fn at(output: &Path, cmdline: String) -> Self {
        Self {
            raw: output.join("tare.raw"),
            qcow2: output.join("tare.qcow2"),
            kernel: output.join("bzImage"),
            kernel_config: output.join("kernel.config"),
            uki: output.join("tare.efi"),
            system: output.join("system.erofs"),
            command: output.join("tare"),
            schema: output.join("tare.schema.json"),
            sbom: output.join("sbom.spdx.json"),
            manifest: output.join("image.json"),
            cmdline,
        }
    }

    /// The image in `output`, if it was made from `inputs` and is complete.
    pub(crate) fn current(output: &Path, inputs: &str) -> Option<Self> {
        let text = fs::read(output.join("image.json")).ok()?;
        let manifest: Manifest = serde_json::from_slice(&text).ok()?;
        let complete = |entry: &FileEntry| {
            fs::metadata(output.join(&entry.name)).is_ok_and(|file| file.len() == entry.size)
        };
        let current = manifest.inputs == inputs && manifest.files.iter().all(complete);
        current.then(|| Self::at(output, manifest.cmdline))
    }

    /// Hashes the files and writes the manifest.
    ///
    /// # Errors
    /// A file cannot be read, or the manifest not written.
    pub(crate) fn seal(&self, mut manifest: Manifest) -> Result<()> {
        let entries = self.files().into_iter().map(entry);
        manifest.files = entries.collect::<Result<_>>()?;
        let text = serde_json::to_vec_pretty(&manifest)?;
        cache::write_atomic(&self.manifest, &text)
    }

    /// Moves the finished files to the folder `output`, the manifest last. Machines that run from an older image keep
    /// it: its files only lose their names.
    ///
    /// # Errors
    /// Names the file that cannot be moved.
    pub(crate) fn publish(&self, output: &Path) -> Result<Self> {
        let published = Self::at(output, self.cmdline.clone());
        // A manifest must not describe files of two images, and a conversion must belong to its image.
        for stale in [&published.manifest, &published.qcow2] {
            let _ = fs::remove_file(stale);
        }
        let manifests = [(&self.manifest, &published.manifest)];
        for (from, to) in self
            .files()
            .into_iter()
            .zip(published.files())
            .chain(manifests)
        {
            fs::rename(from, to).with_context(|| format!("make {}", to.display()))?;
        }
        Ok(published)
    }

    /// Converts the raw disk to QEMU's format, unless that is there. Not part of every build, because running and
    /// testing need only the raw one; nor of the manifest, because its bytes depend on the version of `qemu-img`.
    ///
    /// # Errors
    /// `qemu-img` fails.
    pub fn convert(&self, progress: &Progress) -> Result<()> {
        if self.qcow2.exists() {
            return Ok(());
        }
        progress.stage("Disk image as qcow2", |stage| {
            let partial = self.qcow2.with_extension("partial");
            let mut convert = Command::new("qemu-img");
            convert.args(["convert", "-f", "raw", "-O", "qcow2"]);
            stage.run(convert.arg(&self.raw).arg(&partial))?;
            fs::rename(&partial, &self.qcow2)
                .with_context(|| format!("make {}", self.qcow2.display()))
        })
    }

    fn files(&self) -> [&PathBuf; 8] {
        [
            &self.kernel,
            &self.kernel_config,
            &self.uki,
            &self.system,
            &self.raw,
            &self.command,
            &self.schema,
            &self.sbom,
        ]
    }
}

fn entry(path: &PathBuf) -> Result<FileEntry> {
    let name = path.file_name().context("an image's file has no name")?;
    Ok(FileEntry {
        name: name.to_string_lossy().into_owned(),
        size: fs::metadata(path)
            .with_context(|| format!("read {}", path.display()))?
            .len(),
        sha256: digest::hex_of_file(path)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_current_while_complete_and_made_from_the_same() {
        let output = std::env::temp_dir().join(format!("tare-output-{}", std::process::id()));
        let work = output.join("partial");
        fs::create_dir_all(&work).unwrap();
        let image = Image::at(&work, "quiet".to_owned());
        for file in image.files() {
            fs::write(file, "content").unwrap();
        }
        let manifest = Manifest {
            version: "1".to_owned(),
            inputs: "inputs".to_owned(),
            time: 0,
            root_hash: String::new(),
            cmdline: image.cmdline.clone(),
            files: Vec::new(),
        };
        image.seal(manifest).unwrap();
        assert_eq!(Image::current(&output, "inputs"), None);
        let published = image.publish(&output).unwrap();
        assert_eq!(Image::current(&output, "inputs"), Some(published.clone()));
        assert_eq!(Image::current(&output, "others"), None);
        fs::write(published.raw, "cut").unwrap();
        assert_eq!(Image::current(&output, "inputs"), None);
        fs::remove_dir_all(output).unwrap();
    }
}
