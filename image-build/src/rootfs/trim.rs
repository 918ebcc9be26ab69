//! What a package contains for other machines than this one: documentation, other init systems,
//! package managers, translations.

use std::collections::BTreeSet;

use super::tree::{Kind, Node, Tree};

/// Whole folders and files that no service needs.
const UNWANTED: &[&str] = &[
    // For human readers.
    "usr/share/apport",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/doc-base",
    "usr/share/docker.io/contrib",
    "usr/share/fish",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/menu",
    "usr/share/pixmaps",
    "usr/share/zsh",
    // For desktops.
    "usr/share/applications",
    "usr/share/icons",
    "usr/share/polkit-1",
    // For those who make packages or build programs.
    "usr/bin/dh_bash-completion",
    "usr/share/bash-completion/helpers",
    "usr/share/cmake",
    "usr/share/perl5",
    "usr/share/pkgconfig",
    // For Debian's package management.
    "etc/apt",
    "etc/dpkg",
    "etc/kernel",
    "usr/share/base-passwd",
    "usr/share/debconf",
    "usr/share/debianutils",
    "usr/share/initramfs-tools",
    "var/lib/apt",
    "var/lib/dpkg",
    // The builder runs it (`linker.rs`); its result is in the image.
    "usr/sbin/ldconfig",
    // For init systems that are not PID 1 here.
    "etc/apparmor.d",
    "etc/cron.d",
    "etc/cron.daily",
    "etc/cron.hourly",
    "etc/cron.monthly",
    "etc/cron.weekly",
    "etc/dhcp",
    "etc/init",
    "etc/init.d",
    "etc/logrotate.d",
    "etc/network",
    "etc/ppp",
    "etc/runit",
    "etc/sv",
    "etc/systemd",
    "etc/ufw",
    "usr/lib/init",
    "usr/lib/runit-helper",
    "usr/lib/systemd",
    "usr/lib/sysusers.d",
    "usr/lib/tmpfiles.d",
    "usr/lib/udev",
    "usr/share/runit",
    "usr/share/util-linux/logcheck",
    "var/log",
    // Character set conversion for iconv(3): everything of ours is UTF-8, which libc has built in.
    "usr/lib/x86_64-linux-gnu/gconv",
    "var/cache",
];

/// The one locale kept: the only one that libc and a terminal need to show UTF-8.
const LOCALE: &str = "usr/lib/locale/C.utf8";

/// What packages bring for bash's completion, and the script by which it works, of the package `bash-completion`.
const COMPLETION: &str = "usr/share/bash-completion";
const COMPLETION_SCRIPT: &str = "usr/share/bash-completion/bash_completion";

/// Removes what no service needs.
pub(crate) fn trim(tree: &mut Tree) {
    for path in UNWANTED {
        tree.remove(path);
    }
    tree.remove_all(is_other_locale);
    trim_completions(tree);
}

/// Keeps the completions of programs that are there, if they work at all.
fn trim_completions(tree: &mut Tree) {
    if tree.get(COMPLETION_SCRIPT).is_none() {
        tree.remove(COMPLETION);
        return;
    }
    let folder = format!("{COMPLETION}/completions/");
    let mut kept = BTreeSet::new();
    for (path, node) in tree.below(folder.trim_end_matches('/')) {
        let name = path.strip_prefix(&folder).unwrap_or_default();
        // `_NAME` is for programs that bring none of their own.
        let program = name.strip_prefix('_').unwrap_or(name);
        if ["usr/bin", "usr/sbin"]
            .iter()
            .any(|bin| tree.get(&format!("{bin}/{program}")).is_some())
        {
            kept.insert(path.to_owned());
            // Links are to another of the folder.
            if let Kind::Symlink(target) = &node.kind {
                kept.insert(format!("{folder}{target}"));
            }
        }
    }
    tree.remove_all(|path, _| path.starts_with(&folder) && !kept.contains(path));
}

fn is_other_locale(path: &str, _: &Node) -> bool {
    let below = path.strip_prefix("usr/lib/locale/");
    below.is_some_and(|name| !name.contains('/')) && path != LOCALE
}

/// Removes the bits with which a file runs with the rights of its owner or group. Most services have `no_new_privs`, but
/// this way no file has to be trusted.
pub(crate) fn disarm(tree: &mut Tree) {
    for node in tree.nodes_mut().filter(|node| !node.is_directory()) {
        node.mode &= !0o6000;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_and_other_locales_go() {
        let mut tree = Tree::default();
        for path in [
            "usr/bin/x",
            "usr/lib/locale/C.utf8/LC_CTYPE",
            "usr/lib/locale/de_DE.utf8/LC_CTYPE",
            "usr/share/doc/x/README",
            "usr/share/documents",
        ] {
            tree.put_text(path, 0o644, "");
        }
        trim(&mut tree);
        let files: Vec<_> = tree
            .iter()
            .filter(|(_, node)| !node.is_directory())
            .collect();
        let files: Vec<_> = files.iter().map(|(path, _)| *path).collect();
        let want = [
            "usr/bin/x",
            "usr/lib/locale/C.utf8/LC_CTYPE",
            "usr/share/documents",
        ];
        assert_eq!(files, want);
    }

    #[test]
    fn completions_are_those_of_programs() {
        let folder = format!("{COMPLETION}/completions");
        let mut tree = Tree::default();
        for path in ["usr/bin/chrt", "usr/bin/gcc", "usr/sbin/ip"] {
            tree.put_text(path, 0o755, "");
        }
        for name in ["_chrt", "_nothing", "c++", "ip", "tar"] {
            tree.put_text(&format!("{folder}/{name}"), 0o644, "");
        }
        tree.put(&format!("{folder}/gcc"), Node::symlink("c++"));
        let mut without = tree.clone();
        tree.put_text(COMPLETION_SCRIPT, 0o644, "");
        trim(&mut tree);
        let left: Vec<_> = tree.below(&folder).map(|(path, _)| path).collect();
        let want = ["_chrt", "c++", "gcc", "ip"].map(|name| format!("{folder}/{name}"));
        assert_eq!(left, want);
        trim(&mut without);
        assert!(without.get(COMPLETION).is_none());
    }

    #[test]
    fn no_file_keeps_setuid() {
        let mut tree = Tree::default();
        tree.put_text("usr/bin/su", 0o6755, "");
        tree.put("tmp", Node::directory(0o1777));
        disarm(&mut tree);
        assert_eq!(tree.get("usr/bin/su").unwrap().mode, 0o755);
        assert_eq!(tree.get("tmp").unwrap().mode, 0o1777);
    }
}
