//! Does what Debian's maintainer scripts would have done, using only the tree.

use anyhow::Result;

use super::tree::{Kind, Node, Tree};

/// Links that `update-alternatives` would make: the first candidate that exists wins.
const ALTERNATIVES: &[(&str, &[&str])] = &[
    ("usr/bin/awk", &["usr/bin/gawk", "usr/bin/mawk"]),
    (
        "usr/bin/editor",
        &[
            "usr/bin/vim.basic",
            "usr/bin/vim.tiny",
            "usr/bin/nvi",
            "usr/bin/nano",
        ],
    ),
    (
        "usr/bin/ex",
        &["usr/bin/vim.basic", "usr/bin/vim.tiny", "usr/bin/nvi"],
    ),
    (
        "usr/bin/nc",
        &["usr/bin/nc.openbsd", "usr/bin/nc.traditional"],
    ),
    ("usr/bin/pager", &["usr/bin/less", "usr/bin/more"]),
    (
        "usr/bin/vi",
        &["usr/bin/vim.basic", "usr/bin/vim.tiny", "usr/bin/nvi"],
    ),
    (
        "usr/bin/view",
        &["usr/bin/vim.basic", "usr/bin/vim.tiny", "usr/bin/nvi"],
    ),
    ("usr/bin/vim", &["usr/bin/vim.basic", "usr/bin/vim.tiny"]),
    ("usr/bin/which", &["usr/bin/which.debianutils"]),
    ("usr/bin/sh", &["usr/bin/dash", "usr/bin/bash"]),
    ("usr/sbin/arptables", &["usr/sbin/arptables-nft"]),
    ("usr/sbin/ebtables", &["usr/sbin/ebtables-nft"]),
    ("usr/sbin/ip6tables", &["usr/sbin/ip6tables-nft"]),
    (
        "usr/sbin/ip6tables-restore",
        &["usr/sbin/ip6tables-nft-restore"],
    ),
    ("usr/sbin/ip6tables-save", &["usr/sbin/ip6tables-nft-save"]),
    ("usr/sbin/iptables", &["usr/sbin/iptables-nft"]),
    (
        "usr/sbin/iptables-restore",
        &["usr/sbin/iptables-nft-restore"],
    ),
    ("usr/sbin/iptables-save", &["usr/sbin/iptables-nft-save"]),
];

/// Files that scripts copy from a template on first installation.
const TEMPLATES: &[(&str, &str)] = &[
    ("usr/share/base-files/profile", "etc/profile"),
    ("usr/share/base-files/dot.bashrc", "root/.bashrc"),
    ("usr/share/base-files/dot.profile", "root/.profile"),
    ("usr/share/openssh/sshd_config", "etc/ssh/sshd_config"),
];

/// `pam-auth-update`'s result for the one module that Debian always has.
const PAM: &[(&str, &str)] = &[
    ("common-account", "account required pam_unix.so\n"),
    ("common-auth", "auth required pam_unix.so\n"),
    (
        "common-password",
        "password required pam_unix.so yescrypt\n",
    ),
    ("common-session", "session required pam_unix.so\n"),
    (
        "common-session-noninteractive",
        "session required pam_unix.so\n",
    ),
];

/// Names come from files, then DNS; a service without this file would not use DNS at all.
const NSSWITCH: &str = "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n\
    networks: files\nprotocols: files\nservices: files\nethers: files\nrpc: files\n";

/// The files in which PID 1 describes the host to services; services with the host's network see
/// them in `/run/host`.
const HOST_FACTS: &[&str] = &[
    "hostname",
    "hosts",
    "localtime",
    "machine-id",
    "resolv.conf",
    "timezone",
];

/// The folders and links that a root filesystem starts with.
pub(crate) fn skeleton() -> Tree {
    let mut tree = Tree::default();
    for (path, mode) in [
        ("dev", 0o755),
        ("etc", 0o755),
        ("proc", 0o555),
        ("root", 0o700),
        ("run", 0o755),
        ("sys", 0o555),
        ("tmp", 0o1777),
        ("usr/bin", 0o755),
        ("usr/lib", 0o755),
        ("usr/lib64", 0o755),
        ("usr/sbin", 0o755),
        ("var/lib", 0o755),
        ("var/tmp", 0o1777),
    ] {
        tree.put(path, Node::directory(mode));
    }
    for merged in ["bin", "lib", "lib64", "sbin"] {
        tree.put(merged, Node::symlink(&format!("usr/{merged}")));
    }
    tree.put("var/run", Node::symlink("/run"));
    tree
}

/// Does the work of all the scripts.
///
/// # Errors
/// A file of the tree cannot be read.
pub(crate) fn run_scripts(tree: &mut Tree) -> Result<()> {
    templates(tree);
    alternatives(tree);
    pam(tree);
    certificates(tree)?;
    tree.put_text("etc/nsswitch.conf", 0o644, NSSWITCH);
    Ok(())
}

fn templates(tree: &mut Tree) {
    for (from, to) in TEMPLATES {
        if let (Some(template), None) = (tree.get(from), tree.get(to)) {
            let template = template.clone();
            tree.put(to, template);
        }
    }
}

fn alternatives(tree: &mut Tree) {
    for (link, candidates) in ALTERNATIVES {
        let found = candidates.iter().find(|path| tree.get(path).is_some());
        if let (Some(target), None) = (found, tree.get(link)) {
            tree.put(link, Node::symlink(&format!("/{target}")));
        }
    }
}

fn pam(tree: &mut Tree) {
    if tree
        .get("usr/lib/x86_64-linux-gnu/security/pam_unix.so")
        .is_none()
    {
        return;
    }
    for (name, text) in PAM {
        tree.put_text(&format!("etc/pam.d/{name}"), 0o644, text);
    }
}

/// Joins the trusted certificates into the one file that all programs read
/// (`update-ca-certificates`).
fn certificates(tree: &mut Tree) -> Result<()> {
    const SOURCE: &str = "usr/share/ca-certificates";
    let mut bundle = Vec::new();
    for (path, node) in tree.below(SOURCE) {
        if let Kind::File(content) = &node.kind {
            if path.ends_with(".crt") {
                bundle.extend(content.read()?);
            }
        }
    }
    if let Ok(bundle) = String::from_utf8(bundle) {
        if !bundle.is_empty() {
            tree.put_text("etc/ssl/certs/ca-certificates.crt", 0o644, &bundle);
            tree.remove(SOURCE);
        }
    }
    Ok(())
}

/// Links the files that describe the host to those that PID 1 writes.
pub(crate) fn link_host_facts(tree: &mut Tree) {
    for name in HOST_FACTS {
        tree.put(
            &format!("etc/{name}"),
            Node::symlink(&format!("/run/host/{name}")),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Tree {
        let mut tree = skeleton();
        for (path, text) in files {
            tree.put_text(path, 0o644, text);
        }
        run_scripts(&mut tree).unwrap();
        tree
    }

    fn link(tree: &Tree, path: &str) -> Option<String> {
        match &tree.get(path)?.kind {
            Kind::Symlink(target) => Some(target.clone()),
            _ => None,
        }
    }

    #[test]
    fn the_best_alternative_that_is_there_is_linked() {
        let tree = tree(&[
            ("usr/bin/vim.tiny", ""),
            ("usr/bin/nvi", ""),
            ("usr/sbin/iptables-nft", ""),
            ("usr/bin/awk", "own"),
        ]);
        for (path, want) in [
            ("usr/bin/vi", Some("/usr/bin/vim.tiny")),
            ("usr/sbin/iptables", Some("/usr/sbin/iptables-nft")),
            ("usr/bin/pager", None),
            ("usr/bin/awk", None),
        ] {
            assert_eq!(link(&tree, path).as_deref(), want, "{path}");
        }
    }

    #[test]
    fn certificates_become_one_file() {
        let tree = tree(&[
            ("usr/share/ca-certificates/mozilla/B.crt", "b\n"),
            ("usr/share/ca-certificates/mozilla/A.crt", "a\n"),
        ]);
        let bundle = tree.read("etc/ssl/certs/ca-certificates.crt").unwrap();
        assert_eq!(bundle.unwrap(), b"a\nb\n");
        assert_eq!(tree.get("usr/share/ca-certificates"), None);
    }

    #[test]
    fn templates_do_not_replace() {
        let tree = tree(&[
            ("usr/share/base-files/profile", "template"),
            ("usr/share/base-files/dot.bashrc", "template"),
            ("root/.bashrc", "own"),
        ]);
        assert_eq!(tree.read("etc/profile").unwrap().unwrap(), b"template");
        assert_eq!(tree.read("root/.bashrc").unwrap().unwrap(), b"own");
    }
}
