//! Images in the format of `docker save`, as they lie in the disk image: an archive, or a folder with its files.
//!
//! In folders, a layer that several images have is one file of the disk image.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::path::Path;

/// A block of a tar archive (tar(5)), in bytes.
const BLOCK: u64 = 512;
/// Two empty blocks end an archive.
const END: u64 = 2 * BLOCK;
/// Names the files of each image.
const MANIFEST: &str = "manifest.json";

/// The bytes of an archive.
pub(crate) struct Archive {
    pub(crate) length: u64,
    pub(crate) bytes: Box<dyn Read>,
}

/// An image of a manifest.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Image {
    /// The file with its configuration.
    pub(crate) config: String,
    /// `null` if it has no name.
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Vec<String>,
}

/// The images of the archive or folder `path`.
///
/// # Errors
/// The manifest cannot be read.
pub(crate) fn images(path: &Path) -> Result<Vec<Image>> {
    if path.is_dir() {
        let manifest = File::open(path.join(MANIFEST)).context("open its manifest")?;
        return serde_json::from_reader(BufReader::new(manifest)).context("read its manifest");
    }
    in_archive(File::open(path).context("open")?).context("read")
}

/// Empty if there is no manifest.
fn in_archive(archive: impl Read + Seek) -> Result<Vec<Image>> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        if entry.path()?.as_os_str() == MANIFEST {
            return serde_json::from_reader(entry).context("read its manifest");
        }
    }
    Ok(Vec::new())
}

impl Archive {
    /// The archive `path`, or one of the folder `path`, which has `images`.
    ///
    /// # Errors
    /// A file cannot be opened.
    pub(crate) fn open(path: &Path, images: &[Image]) -> Result<Self> {
        if path.is_dir() {
            return Self::of_folder(path, images);
        }
        let file = File::open(path).context("open")?;
        Ok(Self {
            length: file.metadata().context("open")?.len(),
            bytes: Box::new(file),
        })
    }

    fn of_folder(folder: &Path, images: &[Image]) -> Result<Self> {
        let mut files = BTreeSet::from([MANIFEST]);
        for image in images {
            files.insert(&image.config);
            files.extend(image.layers.iter().map(String::as_str));
        }
        let empty = Self {
            length: 0,
            bytes: Box::new(io::empty()),
        };
        let whole = files.iter().try_fold(empty, |archive, name| {
            archive
                .with(folder, name)
                .with_context(|| (*name).to_owned())
        })?;
        Ok(Self {
            length: whole.length + END,
            bytes: Box::new(whole.bytes.chain(zeros(END))),
        })
    }

    /// Adds the file `name` of `folder`.
    fn with(self, folder: &Path, name: &str) -> io::Result<Self> {
        let file = File::open(folder.join(name))?;
        let size = file.metadata()?.len();
        let padded = size.next_multiple_of(BLOCK);
        let mut header = tar::Header::new_gnu();
        header.set_path(name)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_cksum();
        let header = Cursor::new(header.as_bytes().to_vec());
        let content = file.take(size).chain(zeros(padded - size));
        Ok(Self {
            length: self.length + BLOCK + padded,
            bytes: Box::new(self.bytes.chain(header).chain(content)),
        })
    }
}

fn zeros(count: u64) -> io::Take<io::Repeat> {
    io::repeat(0).take(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn manifest(config: &str, layer: &str) -> String {
        format!(r#"[{{"Config":"{config}","RepoTags":["a/b:1"],"Layers":["{layer}"]}}]"#)
    }

    #[test]
    fn a_folder_is_sent_as_an_archive() {
        let folder = std::env::temp_dir().join(format!("tare-archive-{}", std::process::id()));
        let blobs = "blobs/sha256";
        fs::create_dir_all(folder.join(blobs)).unwrap();
        let (config, layer) = (format!("{blobs}/c"), format!("{blobs}/l"));
        let manifest = manifest(&config, &layer);
        let files = [
            (config.as_str(), "{}".to_owned()),
            (&layer, "x".repeat(512)),
            (MANIFEST, manifest),
        ];
        for (name, text) in &files {
            fs::write(folder.join(name), text).unwrap();
        }
        fs::write(folder.join("blobs/other"), "not of the image").unwrap();

        let images = images(&folder).unwrap();
        let mut archive = Archive::open(&folder, &images).unwrap();
        let mut bytes = Vec::new();
        archive.bytes.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len() as u64, archive.length);
        assert_eq!(in_archive(Cursor::new(&bytes)).unwrap(), images);
        let mut read = tar::Archive::new(&bytes[..]);
        let read = read.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        });
        let want = files.map(|(name, text)| (name.to_owned(), text));
        assert_eq!(read.collect::<Vec<_>>(), want);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn an_archive_is_sent_as_it_is() {
        let path = std::env::temp_dir().join(format!("tare-archive-{}.tar", std::process::id()));
        let mut builder = tar::Builder::new(Vec::new());
        let manifest = manifest("c.json", "layer.tar");
        for (name, text) in [("layer.tar", "layer"), (MANIFEST, &manifest)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            builder
                .append_data(&mut header, name, text.as_bytes())
                .unwrap();
        }
        let want = builder.into_inner().unwrap();
        fs::write(&path, &want).unwrap();
        let images = images(&path).unwrap();
        assert_eq!(images[0].config, "c.json");
        assert_eq!(images[0].repo_tags, Some(vec!["a/b:1".to_owned()]));
        let mut archive = Archive::open(&path, &images).unwrap();
        let mut bytes = Vec::new();
        archive.bytes.read_to_end(&mut bytes).unwrap();
        assert_eq!(archive.length, want.len() as u64);
        assert!(bytes == want);
        fs::remove_file(path).unwrap();
    }
}
