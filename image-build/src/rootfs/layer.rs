//! A Debian package as a layer of a root filesystem: its files, without its maintainer scripts.
//!
//! Each package is unpacked once into the cache: its `data.tar`, uncompressed, and an index with the position and
//! hash of each file's bytes. Assembling a tree from layers then reads indexes only.

use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::tree::{Content, Kind, Node, Slice, Tree};
use crate::apt::Deb;
use crate::cache;
use crate::digest;
use crate::progress::Stage;

/// The files of one package.
#[derive(Debug)]
pub(crate) struct Layer {
    archive: Arc<Path>,
    index: Index,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    /// The newest modification time in the package, in seconds since 1970.
    newest: u64,
    entries: Vec<Entry>,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    path: String,
    mode: u32,
    uid: u32,
    gid: u32,
    #[serde(flatten)]
    kind: EntryKind,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum EntryKind {
    Directory,
    File(Slice),
    Symlink(String),
}

impl Layer {
    /// Opens the package's layer in `cache`, which is made from the `.deb` if it is not there.
    ///
    /// # Errors
    /// If the `.deb` does not match the package lists, or cannot be unpacked.
    pub(crate) fn open(cache: &Path, deb: &Deb, stage: &Stage) -> Result<Self> {
        let folder = cache.join("layers").join(&deb.sha256);
        let index = folder.join("index.json");
        if !index.exists() {
            unpack(deb, &folder, stage)
                .with_context(|| format!("unpack {}", deb.path.display()))?;
        }
        let read = || anyhow::Ok(serde_json::from_slice(&fs::read(&index)?)?);
        Ok(Self {
            index: read().with_context(|| format!("read {}", index.display()))?,
            archive: Arc::from(folder.join("data.tar")),
        })
    }

    /// The newest modification time in the package, in seconds since 1970.
    pub(crate) fn newest(&self) -> u64 {
        self.index.newest
    }

    /// Puts the package's files into `tree`.
    pub(crate) fn apply(&self, tree: &mut Tree) {
        for entry in &self.index.entries {
            let kind = match &entry.kind {
                EntryKind::Directory => Kind::Directory,
                EntryKind::File(slice) => Kind::File(Content::of_slice(&self.archive, slice)),
                EntryKind::Symlink(target) => Kind::Symlink(target.clone()),
            };
            let node = Node {
                mode: entry.mode,
                uid: entry.uid,
                gid: entry.gid,
                kind,
            };
            tree.put(&entry.path, node);
        }
    }
}

/// Writes the layer to a temporary folder and moves that into place when it is complete.
fn unpack(deb: &Deb, folder: &Path, stage: &Stage) -> Result<()> {
    deb.verify()?;
    let partial = PathBuf::from(format!("{}.{}", folder.display(), std::process::id()));
    fs::create_dir_all(&partial)?;
    let archive = partial.join("data.tar");
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(&deb.path);
    fs::write(&archive, stage.output(&mut command)?)?;
    let index = serde_json::to_vec(&index(&archive)?)?;
    cache::write_atomic(&partial.join("index.json"), &index)?;
    // Another build may have been faster; its layer has the same content.
    if fs::rename(&partial, folder).is_err() {
        fs::remove_dir_all(&partial)?;
    }
    Ok(())
}

fn index(archive: &Path) -> Result<Index> {
    let mut tar = tar::Archive::new(BufReader::new(File::open(archive)?));
    let mut index = Index::default();
    for entry in tar.entries()? {
        let mut entry = entry?;
        index.newest = index.newest.max(entry.header().mtime()?);
        if let Some(entry) = index_entry(&mut entry, &index.entries)? {
            index.entries.push(entry);
        }
    }
    Ok(index)
}

/// `None` for devices and pipes, which no package of ours needs: a service's `/dev` is made at run
/// time.
fn index_entry<R: Read>(entry: &mut tar::Entry<'_, R>, before: &[Entry]) -> Result<Option<Entry>> {
    let path = entry.path()?.to_string_lossy().into_owned();
    let link = entry.link_name()?.unwrap_or_default();
    let kind = match entry.header().entry_type() {
        tar::EntryType::Directory => EntryKind::Directory,
        tar::EntryType::Regular => EntryKind::File(slice(entry)?),
        tar::EntryType::Symlink => EntryKind::Symlink(link.to_string_lossy().into_owned()),
        tar::EntryType::Link => linked(&link.to_string_lossy(), before)?,
        _ => return Ok(None),
    };
    let header = entry.header();
    Ok(Some(Entry {
        path,
        mode: header.mode()? & 0o7777,
        uid: u32::try_from(header.uid()?)?,
        gid: u32::try_from(header.gid()?)?,
        kind,
    }))
}

/// A hard link is the file it names, which comes before it in the archive.
fn linked(target: &str, before: &[Entry]) -> Result<EntryKind> {
    let same = |path: &str| path.trim_start_matches("./") == target.trim_start_matches("./");
    let found = before.iter().find(|entry| same(&entry.path));
    Ok(found
        .with_context(|| format!("hard link to {target}, which is not there"))?
        .kind
        .clone())
}

fn slice<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Slice> {
    let offset = entry.raw_file_position();
    let mut hasher = Sha256::new();
    let size = std::io::copy(entry, &mut hasher)?;
    Ok(Slice {
        offset,
        size,
        sha256: digest::to_hex(&hasher.finalize()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apt::testing::refuses_another;

    #[test]
    fn a_package_is_the_one_promised() {
        refuses_another("layer", |deb, folder, stage| {
            Layer::open(folder, deb, stage)
        });
    }

    fn header(kind: tar::EntryType, mode: u32, mtime: u64, size: u64) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_mtime(mtime);
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(42);
        header
    }

    #[test]
    fn an_index_says_where_the_bytes_are() {
        let path = std::env::temp_dir().join(format!("tare-layer-{}", std::process::id()));
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        let mut file = header(tar::EntryType::Regular, 0o2755, 7, 2);
        tar.append_data(&mut file, "./usr/bin/x", &b"hi"[..])
            .unwrap();
        let mut link = header(tar::EntryType::Link, 0o2755, 9, 0);
        tar.append_link(&mut link, "./usr/bin/y", "./usr/bin/x")
            .unwrap();
        tar.into_inner().unwrap();

        let index = index(&path).unwrap();
        let archive: Arc<Path> = Arc::from(path.as_path());
        let layer = Layer { archive, index };
        let mut tree = Tree::default();
        layer.apply(&mut tree);
        assert_eq!(layer.newest(), 9);
        assert_eq!(tree.read("usr/bin/y").unwrap().unwrap(), b"hi");
        let node = tree.get("usr/bin/x").unwrap();
        assert_eq!((node.mode, node.gid), (0o2755, 42));
        fs::remove_file(path).unwrap();
    }
}
