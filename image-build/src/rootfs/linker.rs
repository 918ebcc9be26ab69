//! `/etc/ld.so.cache`, by which the dynamic linker finds libraries without searching.
//!
//! trixie's own `ldconfig` makes it, with a folder that has only the tree's libraries as its root, which needs no
//! privileges.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::tree::{Content, Kind, Node, Tree};
use crate::cache;
use crate::digest;
use crate::progress::Stage;
use crate::tools::Tools;

/// Where Debian's libraries are; `etc/ld.so.conf.d` names the first two.
const FOLDERS: &[&str] = &[
    "usr/lib/x86_64-linux-gnu",
    "usr/local/lib",
    "usr/lib",
    "usr/lib64",
];

const CACHE: &str = "etc/ld.so.cache";

/// Adds the cache to a tree that has a dynamic linker.
///
/// # Errors
/// `ldconfig` fails, or a file cannot be read.
pub(crate) fn add_cache(tree: &mut Tree, tools: &Tools, cache: &Path, stage: &Stage) -> Result<()> {
    if tree.get("usr/lib64/ld-linux-x86-64.so.2").is_none() {
        return Ok(());
    }
    let libraries: Vec<(&str, &Node)> = tree.iter().filter(|(path, _)| is_input(path)).collect();
    let path = cache.join("linker").join(key(&libraries, tools.id()));
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(_) => generate(&libraries, tools, &path, stage)?,
    };
    tree.put(CACHE, Node::file(0o644, Content::of_bytes(bytes)));
    Ok(())
}

fn is_input(path: &str) -> bool {
    let Some((folder, name)) = path.rsplit_once('/') else {
        return false;
    };
    path.starts_with("etc/ld.so.conf") || (FOLDERS.contains(&folder) && name.contains(".so"))
}

/// The hash of everything that `ldconfig` sees.
fn key(libraries: &[(&str, &Node)], tools: &str) -> String {
    let line = |(path, node): &(&str, &Node)| match &node.kind {
        Kind::File(content) => format!("{path} {}\n", content.sha256),
        Kind::Symlink(target) => format!("{path} -> {target}\n"),
        Kind::Directory => String::new(),
    };
    let lines: String = libraries.iter().map(line).collect();
    digest::hex(format!("{tools}\n{lines}").as_bytes())
}

fn generate(
    libraries: &[(&str, &Node)],
    tools: &Tools,
    path: &Path,
    stage: &Stage,
) -> Result<Vec<u8>> {
    let root = path.with_extension(format!("root.{}", std::process::id()));
    write_out(libraries, &root).with_context(|| format!("write {}", root.display()))?;
    // A static program; -X: Debian's packages have all their links already.
    let mut ldconfig = Command::new(tools.file("usr/sbin/ldconfig"));
    stage.run(ldconfig.arg("-X").arg("-r").arg(&root))?;
    let bytes = fs::read(root.join(CACHE)).context("read the cache that ldconfig made")?;
    cache::write_atomic(path, &bytes)?;
    fs::remove_dir_all(&root)?;
    Ok(bytes)
}

fn write_out(nodes: &[(&str, &Node)], root: &Path) -> Result<()> {
    fs::create_dir_all(root.join("etc"))?;
    for (path, node) in nodes {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        match &node.kind {
            Kind::Directory => fs::create_dir_all(&path)?,
            Kind::Symlink(target) => std::os::unix::fs::symlink(target, &path)?,
            Kind::File(content) => fs::write(&path, content.read()?)?,
        }
    }
    // As in the real tree, so that `/lib/x86_64-linux-gnu` in a configuration file is found.
    std::os::unix::fs::symlink("usr/lib", root.join("lib"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_configuration_are_inputs() {
        for (path, want) in [
            ("usr/lib/x86_64-linux-gnu/libc.so.6", true),
            ("usr/lib/x86_64-linux-gnu/security/pam_unix.so", false),
            ("etc/ld.so.conf.d/x86_64-linux-gnu.conf", true),
            ("etc/passwd", false),
        ] {
            assert_eq!(is_input(path), want, "{path}");
        }
    }
}
