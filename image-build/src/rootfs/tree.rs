//! A file tree as data: the contents of the image, with owners and modes, without a file on disk. So no build step
//! needs root, and everything is in the order of names.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::digest;

/// The folders that Debian merged into `/usr`; paths through them are the same files.
const MERGED: &[&str] = &["bin", "lib", "lib64", "sbin"];

/// One file, folder or link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    /// Permission bits, with setuid, setgid and sticky.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File(Content),
    Symlink(String),
}

/// The bytes of a file: where they are, and their hash, by which equal files are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Memory(Arc<[u8]>),
    /// `size` bytes of a file from `offset` on.
    File(Arc<Path>, u64),
}

/// Where a file's bytes are in an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Slice {
    pub(crate) offset: u64,
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

impl Content {
    pub(crate) fn of_bytes(bytes: impl Into<Arc<[u8]>>) -> Self {
        let bytes = bytes.into();
        Self {
            sha256: digest::hex(&bytes),
            size: bytes.len() as u64,
            source: Source::Memory(bytes),
        }
    }

    pub(crate) fn of_slice(archive: &Arc<Path>, slice: &Slice) -> Self {
        Self {
            sha256: slice.sha256.clone(),
            size: slice.size,
            source: Source::File(Arc::clone(archive), slice.offset),
        }
    }

    /// The whole of the file `path`, which must not change until the image is written.
    pub(crate) fn of_file(path: &Path) -> Result<Self> {
        let size = fs::metadata(path)
            .with_context(|| format!("read {}", path.display()))?
            .len();
        Ok(Self {
            sha256: digest::hex_of_file(path)?,
            size,
            source: Source::File(Arc::from(path), 0),
        })
    }

    pub(crate) fn open(&self) -> Result<Box<dyn Read + '_>> {
        match &self.source {
            Source::Memory(bytes) => Ok(Box::new(&bytes[..])),
            Source::File(path, offset) => {
                let slice = || {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(*offset))?;
                    std::io::Result::Ok(file.take(self.size))
                };
                let slice = slice().with_context(|| format!("read {}", path.display()))?;
                Ok(Box::new(slice))
            }
        }
    }

    pub(crate) fn read(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Node {
    /// Owned by root.
    pub(crate) fn new(mode: u32, kind: Kind) -> Self {
        Self {
            mode,
            uid: 0,
            gid: 0,
            kind,
        }
    }

    pub(crate) fn directory(mode: u32) -> Self {
        Self::new(mode, Kind::Directory)
    }

    pub(crate) fn file(mode: u32, content: Content) -> Self {
        Self::new(mode, Kind::File(content))
    }

    pub(crate) fn symlink(target: &str) -> Self {
        Self::new(0o777, Kind::Symlink(target.to_owned()))
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }
}

/// Nodes by path, `etc/passwd` without a leading slash; parents come before their children.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree(BTreeMap<String, Node>);

impl Tree {
    /// Puts `node` at `path` (absolute or not), with the folders above it, and replaces what was there.
    pub(crate) fn put(&mut self, path: &str, node: Node) {
        let path = canonical(path);
        if path.is_empty() {
            return;
        }
        self.make_parents(&path);
        if !node.is_directory() {
            self.remove(&path);
        }
        self.0.insert(path, node);
    }

    /// Puts a folder at `path` unless something is there.
    pub(crate) fn ensure_directory(&mut self, path: &str, mode: u32) {
        if self.get(path).is_none() {
            self.put(path, Node::directory(mode));
        }
    }

    pub(crate) fn put_text(&mut self, path: &str, mode: u32, text: &str) {
        self.put(path, Node::file(mode, Content::of_bytes(text.as_bytes())));
    }

    fn make_parents(&mut self, path: &str) {
        for (slash, _) in path.match_indices('/') {
            let parent = &path[..slash];
            if !self.0.contains_key(parent) {
                self.0.insert(parent.to_owned(), Node::directory(0o755));
            }
        }
    }

    pub(crate) fn get(&self, path: &str) -> Option<&Node> {
        self.0.get(&canonical(path))
    }

    /// The content of the file at `path`, if there is one.
    pub(crate) fn read(&self, path: &str) -> Result<Option<Vec<u8>>> {
        match self.get(path).map(|node| &node.kind) {
            Some(Kind::File(content)) => content.read().map(Some),
            _ => Ok(None),
        }
    }

    /// Removes `path` and all that is below it.
    pub(crate) fn remove(&mut self, path: &str) {
        let path = canonical(path);
        let below: Vec<String> = self.below(&path).map(|(path, _)| path.to_owned()).collect();
        for path in below {
            self.0.remove(&path);
        }
        self.0.remove(&path);
    }

    /// Removes every node for which `unwanted` is true, folders with their content.
    pub(crate) fn remove_all(&mut self, unwanted: impl Fn(&str, &Node) -> bool) {
        let paths: Vec<String> = self
            .iter()
            .filter(|(path, node)| unwanted(path, node))
            .map(|(path, _)| path.to_owned())
            .collect();
        for path in paths {
            self.remove(&path);
        }
    }

    /// Everything below the folder `path`, parents first.
    pub(crate) fn below(&self, path: &str) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = format!("{}/", canonical(path));
        self.0
            .range(prefix.clone()..)
            .take_while(move |(path, _)| path.starts_with(&prefix))
            .map(|(path, node)| (path.as_str(), node))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }

    pub(crate) fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.0.values_mut()
    }

    /// Puts all of `other` below the folder `path`.
    pub(crate) fn graft(&mut self, path: &str, other: &Tree) {
        self.ensure_directory(path, 0o755);
        for (below, node) in other.iter() {
            // Not `put`: below `path` there is a separate root, with its own `/usr` merge.
            self.0.insert(format!("{path}/{below}"), node.clone());
        }
    }

    /// Lays the folder `overlay` of the source tree over this tree. A file that replaces another gets the old one's
    /// owner and mode; others are root's and 0755 or 0644, whatever the checkout's umask was.
    pub(crate) fn lay_over(&mut self, overlay: &Path) -> Result<()> {
        for (path, below) in files_below(overlay)? {
            let meta = fs::symlink_metadata(&path)?;
            let node = if meta.is_dir() {
                self.ensure_directory(&below, 0o755);
                continue;
            } else if meta.is_symlink() {
                Node::symlink(&fs::read_link(&path)?.to_string_lossy())
            } else {
                self.replacement(&below, Content::of_file(&path)?, file_mode(&meta))
            };
            self.put(&below, node);
        }
        Ok(())
    }

    fn replacement(&self, path: &str, content: Content, mode: u32) -> Node {
        match self.get(path) {
            Some(old) if matches!(old.kind, Kind::File(_)) => Node {
                kind: Kind::File(content),
                ..*old
            },
            _ => Node::file(mode, content),
        }
    }
}

/// 0755 for what its owner may execute, 0644 for the rest.
pub(crate) fn file_mode(meta: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    match meta.permissions().mode() & 0o100 {
        0 => 0o644,
        _ => 0o755,
    }
}

/// All files, folders and links below `folder` with their paths relative to it, sorted; nothing if
/// there is no such folder. Links are not followed.
pub(crate) fn files_below(folder: &Path) -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        let Ok(entries) = fs::read_dir(&next) else {
            continue;
        };
        for entry in entries {
            let entry = entry.with_context(|| format!("read {}", next.display()))?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            }
            let path = entry.path();
            let below = path.strip_prefix(folder)?.to_string_lossy().into_owned();
            found.push((path, below));
        }
    }
    found.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(found)
}

/// `./lib/x/` -> `usr/lib/x`
fn canonical(path: &str) -> String {
    let path = path
        .trim_start_matches("./")
        .trim_matches('/')
        .trim_end_matches("/.");
    if path == "." {
        return String::new();
    }
    let top = path.split('/').next().unwrap_or_default();
    // The links themselves, as in `bin`, stay where they are.
    if path.len() > top.len() && MERGED.contains(&top) {
        return format!("usr/{path}");
    }
    path.to_owned()
}

#[cfg(test)]
mod tests;
