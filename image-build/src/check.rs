//! What must hold for every image, whatever its recipe: checked on the finished tree before it is
//! written.

mod elf;

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use tare_config::Service;

use crate::rootfs::tree::{Content, Kind, Node, Tree};

/// The one program that the host runs.
const INIT: &str = "usr/sbin/init";

/// Setuid and setgid.
const ARMED: u32 = 0o6000;

/// How many links in a path are followed before it counts as a loop; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Checks the host's root filesystem and the bundles in it.
///
/// # Errors
/// The first rule that does not hold, and for which path.
pub(crate) fn check(root: &Tree, services: &BTreeMap<String, Service>) -> Result<()> {
    for (path, node) in root.iter() {
        ensure!(
            node.is_directory() || node.mode & ARMED == 0,
            "/{path} would run with the rights of its owner (mode {:o})",
            node.mode
        );
        ensure!(
            !runs_on_host(path, node),
            "/{path} would be a second program on the host"
        );
        if let Some(content) = our_program(path, node) {
            elf::check(&content.read()?).with_context(|| format!("/{path}"))?;
        }
    }
    for (name, service) in services {
        check_program(root, name, service)?;
    }
    Ok(())
}

fn runs_on_host(path: &str, node: &Node) -> bool {
    let is_file = matches!(node.kind, Kind::File(_));
    is_file && node.mode & 0o111 != 0 && !path.starts_with("services/") && path != INIT
}

/// The content of a program of this workspace: PID 1, `tare`, and the services' `tare-NAME`.
fn our_program<'a>(path: &str, node: &'a Node) -> Option<&'a Content> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let in_service = folder.starts_with("services/") && folder.ends_with("/rootfs/usr/bin");
    let ours = path == INIT || in_service && (name == "tare" || name.starts_with("tare-"));
    match &node.kind {
        Kind::File(content) if ours => Some(content),
        _ => None,
    }
}

fn check_program(root: &Tree, name: &str, service: &Service) -> Result<()> {
    let program = service.process.args.first().map_or("", String::as_str);
    let rootfs = format!("services/{name}/rootfs");
    let mode = resolve(root, &rootfs, program).map_or(0, |node| node.mode);
    ensure!(
        mode & 0o111 != 0,
        "service {name}: {program} is no program of its root filesystem"
    );
    Ok(())
}

/// The node at `path` of the root filesystem `rootfs`, with links followed inside it.
fn resolve<'a>(root: &'a Tree, rootfs: &str, path: &str) -> Option<&'a Node> {
    let mut rest: Vec<String> = components(path);
    let mut at: Vec<String> = Vec::new();
    let mut links = 0;
    while let Some(name) = rest.pop() {
        if name == ".." {
            at.pop();
            continue;
        }
        at.push(name);
        let node = root.get(&format!("{rootfs}/{}", at.join("/")))?;
        if let Kind::Symlink(target) = &node.kind {
            links += 1;
            at.pop();
            if target.starts_with('/') {
                at.clear();
            }
            rest.extend(components(target));
        } else if rest.is_empty() {
            return Some(node);
        }
        if links > MAX_LINKS {
            return None;
        }
    }
    None
}

/// The names in `path`, last first.
fn components(path: &str) -> Vec<String> {
    let names = path.split('/').filter(|name| !matches!(*name, "" | "."));
    names.rev().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOTFS: &str = "services/x/rootfs";

    fn root(nodes: &[(&str, Node)]) -> Tree {
        let mut root = Tree::default();
        for (path, node) in nodes {
            root.put(path, node.clone());
        }
        root
    }

    fn file(mode: u32) -> Node {
        Node::file(mode, Content::of_bytes(*b"x"))
    }

    /// A program that is linked like those in the image.
    fn program() -> Node {
        let own = std::env::current_exe().unwrap();
        Node::file(0o755, Content::of_file(&own).unwrap())
    }

    #[test]
    fn links_are_followed_inside_the_root_filesystem() {
        let root = root(&[
            ("services/x/rootfs/usr/bin/dash", file(0o755)),
            ("services/x/rootfs/bin", Node::symlink("usr/bin")),
            (
                "services/x/rootfs/usr/bin/sh",
                Node::symlink("/bin/../bin/dash"),
            ),
            ("services/x/rootfs/loop", Node::symlink("loop")),
            ("dash", file(0o644)),
        ]);
        for (path, want) in [
            ("/bin/sh", Some(0o755)),
            ("/usr/bin/dash", Some(0o755)),
            ("/loop", None),
            ("/../../../dash", None),
            ("/bin/none", None),
        ] {
            let node = resolve(&root, ROOTFS, path);
            assert_eq!(node.map(|node| node.mode), want, "{path}");
        }
    }

    #[test]
    fn broken_rules_are_named() {
        let service = "description = 'x'\n[process]\nargs = ['/x']\n";
        let service: Service = tare_config::parse("test", service.as_bytes()).unwrap();
        let services = BTreeMap::from([("x".to_owned(), service)]);
        let needed = ("services/x/rootfs/x", file(0o755));
        for (node, want) in [
            (("sbin/init", program()), None),
            (
                ("sbin/init", file(0o755)),
                Some("/usr/sbin/init: Invalid ELF header size or alignment"),
            ),
            (("services/x/rootfs/usr/bin/tare-x", program()), None),
            (
                ("services/x/rootfs/usr/bin/tare-x", file(0o755)),
                Some("/services/x/rootfs/usr/bin/tare-x: Invalid ELF header size or alignment"),
            ),
            (("services/x/rootfs/usr/bin/x", file(0o755)), None),
            (
                ("sbin/other", file(0o755)),
                Some("/usr/sbin/other would be a second program on the host"),
            ),
            (
                ("services/x/rootfs/su", file(0o4755)),
                Some("/services/x/rootfs/su would run with the rights of its owner (mode 4755)"),
            ),
            (
                ("services/x/rootfs/x", file(0o644)),
                Some("service x: /x is no program of its root filesystem"),
            ),
        ] {
            let error = check(&root(&[needed.clone(), node]), &services).err();
            let error = error.map(|error| format!("{error:#}"));
            assert_eq!(error.as_deref(), want);
        }
    }
}
