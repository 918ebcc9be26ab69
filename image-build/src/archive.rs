//! A tree as a tar archive: the same bytes for the same tree.

use std::collections::HashMap;
use std::io::Write;

use anyhow::{Context, Result};
use tar::{Builder, EntryType, Header};

use crate::rootfs::tree::{Content, Kind, Node, Tree};

/// What makes two files one inode: hard links share everything but the name.
type Identity<'a> = (&'a str, u32, u32, u32);

/// Writes `tree` to `out` with `mtime` (seconds since 1970) for everything. Files with the same
/// content, mode and owner become hard links to the first of them.
///
/// # Errors
/// Names the file that cannot be read, or the failure to write.
pub(crate) fn write(tree: &Tree, mtime: u64, out: impl Write) -> Result<()> {
    let mut tar = Builder::new(out);
    // Without it the reader would choose the root's mode; mkfs.erofs makes it 0777.
    append(&mut tar, "./", &Node::directory(0o755), None, mtime)?;
    let mut written: HashMap<Identity, &str> = HashMap::new();
    for (path, node) in tree.iter() {
        let twin = identity(node).and_then(|id| match written.get(&id) {
            Some(first) => Some(*first),
            None => {
                written.insert(id, path);
                None
            }
        });
        append(&mut tar, path, node, twin, mtime).with_context(|| format!("archive {path}"))?;
    }
    tar.into_inner()?.flush()?;
    Ok(())
}

fn identity(node: &Node) -> Option<Identity<'_>> {
    match &node.kind {
        Kind::File(content) => Some((&content.sha256, node.mode, node.uid, node.gid)),
        _ => None,
    }
}

fn append(
    tar: &mut Builder<impl Write>,
    path: &str,
    node: &Node,
    twin: Option<&str>,
    mtime: u64,
) -> Result<()> {
    let mut header = header(node, mtime);
    match (&node.kind, twin) {
        (Kind::Directory, _) => {
            header.set_entry_type(EntryType::Directory);
            tar.append_data(&mut header, path, std::io::empty())?;
        }
        (Kind::Symlink(target), _) => {
            header.set_entry_type(EntryType::Symlink);
            tar.append_link(&mut header, path, target)?;
        }
        (Kind::File(_), Some(twin)) => {
            header.set_entry_type(EntryType::Link);
            tar.append_link(&mut header, path, twin)?;
        }
        (Kind::File(content), None) => append_file(tar, path, content, header)?,
    }
    Ok(())
}

fn append_file(
    tar: &mut Builder<impl Write>,
    path: &str,
    content: &Content,
    mut header: Header,
) -> Result<()> {
    header.set_entry_type(EntryType::Regular);
    header.set_size(content.size);
    tar.append_data(&mut header, path, content.open()?)?;
    Ok(())
}

fn header(node: &Node, mtime: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(node.mode);
    header.set_uid(node.uid.into());
    header.set_gid(node.gid.into());
    header.set_mtime(mtime);
    header.set_size(0);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_files_are_one() {
        let mut tree = Tree::default();
        tree.put_text("a", 0o644, "same");
        tree.put_text("b", 0o644, "same");
        tree.put_text("c", 0o755, "same");
        tree.put("d", Node::symlink("a"));
        let mut bytes = Vec::new();
        write(&tree, 7, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let link = entry.link_name().unwrap().unwrap_or_default();
            let path = entry.path().unwrap().display().to_string();
            (
                path,
                entry.header().entry_type(),
                link.display().to_string(),
            )
        });
        let want = [
            ("./", EntryType::Directory, ""),
            ("a", EntryType::Regular, ""),
            ("b", EntryType::Link, "a"),
            ("c", EntryType::Regular, ""),
            ("d", EntryType::Symlink, "a"),
        ];
        let want = want.map(|(path, kind, link)| (path.to_owned(), kind, link.to_owned()));
        assert_eq!(entries.collect::<Vec<_>>(), want);
    }
}
