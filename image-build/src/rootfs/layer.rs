//! A Debian package as a layer of a root filesystem: its files, without its maintainer scripts.
//!
//! Each package is unpacked once into the cache: the bytes of its files, one after another, and an index with the
//! position and hash of each file. Assembling a tree from layers then reads indexes only. Go programs are slim there.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::slim;
use super::tree::{Content, Kind, Node, Slice, Tree};
use crate::apt::Deb;
use crate::cache;
use crate::digest;
use crate::progress::Stage;

/// The bytes of all files of a package.
const FILES: &str = "files";

/// The files of one package.
#[derive(Debug)]
pub(crate) struct Layer {
    files: Arc<Path>,
    index: Index,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Index {
    /// The newest modification time in the package, in seconds since 1970.
    newest: u64,
    /// How many bytes its Go programs became smaller.
    saved: u64,
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
        let folder = format!("{}-{}", deb.sha256, slim::version());
        let folder = cache.join("layers").join(folder);
        let index = folder.join("index.json");
        if !index.exists() {
            unpack(deb, &folder, stage)
                .with_context(|| format!("unpack {}", deb.path.display()))?;
        }
        let read = || anyhow::Ok(serde_json::from_slice(&fs::read(&index)?)?);
        Ok(Self {
            index: read().with_context(|| format!("read {}", index.display()))?,
            files: Arc::from(folder.join(FILES)),
        })
    }

    /// The newest modification time in the package, in seconds since 1970.
    pub(crate) fn newest(&self) -> u64 {
        self.index.newest
    }

    /// How many bytes the package's Go programs became smaller.
    pub(crate) fn saved(&self) -> u64 {
        self.index.saved
    }

    /// Puts the package's files into `tree`.
    pub(crate) fn apply(&self, tree: &mut Tree) {
        for entry in &self.index.entries {
            let kind = match &entry.kind {
                EntryKind::Directory => Kind::Directory,
                EntryKind::File(slice) => Kind::File(Content::of_slice(&self.files, slice)),
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
    let mut command = Command::new("dpkg-deb");
    command.arg("--fsys-tarfile").arg(&deb.path);
    let archive = stage.output(&mut command)?;
    let mut files = Files::create(&partial.join(FILES))?;
    let index = serde_json::to_vec(&Index::of(&archive, &mut files)?)?;
    cache::write_atomic(&partial.join("index.json"), &index)?;
    // Another build may have been faster; its layer has the same content.
    if fs::rename(&partial, folder).is_err() {
        fs::remove_dir_all(&partial)?;
    }
    Ok(())
}

/// The bytes of files, one after another in one file.
struct Files {
    file: File,
    end: u64,
}

impl Files {
    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path)?;
        Ok(Self { file, end: 0 })
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Slice> {
        self.file.write_all(bytes)?;
        let slice = Slice {
            offset: self.end,
            size: bytes.len() as u64,
            sha256: digest::hex(bytes),
        };
        self.end += slice.size;
        Ok(slice)
    }
}

impl Index {
    /// The index of `archive`, a tar archive, whose files' bytes go to `files`.
    fn of(archive: &[u8], files: &mut Files) -> Result<Self> {
        let mut tar = tar::Archive::new(archive);
        let mut index = Self::default();
        for entry in tar.entries()? {
            let mut entry = entry?;
            index.newest = index.newest.max(entry.header().mtime()?);
            let kind = match entry.header().entry_type() {
                tar::EntryType::Directory => EntryKind::Directory,
                tar::EntryType::Regular => EntryKind::File(files.add(&index.content(&mut entry)?)?),
                tar::EntryType::Symlink => EntryKind::Symlink(link(&entry)?),
                tar::EntryType::Link => linked(&link(&entry)?, &index.entries)?,
                // Devices and pipes, which no package of ours needs: a service's `/dev` is made at run time.
                _ => continue,
            };
            index.entries.push(Entry::new(&entry, kind)?);
        }
        Ok(index)
    }

    /// The bytes of a file; a Go program's are fewer than in the archive.
    fn content<R: Read>(&mut self, entry: &mut tar::Entry<'_, R>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        if entry.header().mode()? & 0o111 == 0 {
            return Ok(bytes);
        }
        let slim = slim::slim(&bytes).unwrap_or(bytes);
        self.saved += entry.size() - slim.len() as u64;
        Ok(slim)
    }
}

impl Entry {
    fn new<R: Read>(entry: &tar::Entry<'_, R>, kind: EntryKind) -> Result<Self> {
        let header = entry.header();
        Ok(Self {
            path: entry.path()?.to_string_lossy().into_owned(),
            mode: header.mode()? & 0o7777,
            uid: u32::try_from(header.uid()?)?,
            gid: u32::try_from(header.gid()?)?,
            kind,
        })
    }
}

fn link<R: Read>(entry: &tar::Entry<'_, R>) -> Result<String> {
    let link = entry.link_name()?.unwrap_or_default();
    Ok(link.to_string_lossy().into_owned())
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
        let mut tar = tar::Builder::new(Vec::new());
        let mut other = header(tar::EntryType::Regular, 0o644, 5, 3);
        tar.append_data(&mut other, "./etc/x", &b"abc"[..]).unwrap();
        let mut file = header(tar::EntryType::Regular, 0o2755, 7, 2);
        tar.append_data(&mut file, "./usr/bin/x", &b"hi"[..])
            .unwrap();
        let mut link = header(tar::EntryType::Link, 0o2755, 9, 0);
        tar.append_link(&mut link, "./usr/bin/y", "./usr/bin/x")
            .unwrap();
        let archive = tar.into_inner().unwrap();

        let index = Index::of(&archive, &mut Files::create(&path).unwrap()).unwrap();
        let files: Arc<Path> = Arc::from(path.as_path());
        let layer = Layer { files, index };
        let mut tree = Tree::default();
        layer.apply(&mut tree);
        assert_eq!(layer.newest(), 9);
        assert_eq!(tree.read("etc/x").unwrap().unwrap(), b"abc");
        assert_eq!(tree.read("usr/bin/y").unwrap().unwrap(), b"hi");
        let node = tree.get("usr/bin/x").unwrap();
        assert_eq!((node.mode, node.gid), (0o2755, 42));
        fs::remove_file(path).unwrap();
    }

    #[test]
    fn go_programs_are_slim() {
        let program = slim::tests::go_program();
        let want = slim::slim(&program).unwrap();
        let path = std::env::temp_dir().join(format!("tare-layer-go-{}", std::process::id()));
        let mut tar = tar::Builder::new(Vec::new());
        for (name, mode) in [("./usr/bin/x", 0o755), ("./usr/share/x", 0o644)] {
            let size = program.len() as u64;
            let mut file = header(tar::EntryType::Regular, mode, 7, size);
            tar.append_data(&mut file, name, &program[..]).unwrap();
        }
        let archive = tar.into_inner().unwrap();

        let index = Index::of(&archive, &mut Files::create(&path).unwrap()).unwrap();
        let files: Arc<Path> = Arc::from(path.as_path());
        let layer = Layer { files, index };
        let mut tree = Tree::default();
        layer.apply(&mut tree);
        assert_eq!(layer.saved(), (program.len() - want.len()) as u64);
        assert!(tree.read("usr/bin/x").unwrap().unwrap() == want);
        assert!(tree.read("usr/share/x").unwrap().unwrap() == program);
        fs::remove_file(path).unwrap();
    }
}
