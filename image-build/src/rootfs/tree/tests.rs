use super::*;

fn tree(paths: &[&str]) -> Tree {
    let mut tree = Tree::default();
    for path in paths {
        tree.put_text(path, 0o644, path);
    }
    tree
}

fn paths(tree: &Tree) -> Vec<&str> {
    tree.iter().map(|(path, _)| path).collect()
}

#[test]
fn paths_have_one_spelling() {
    for (path, want) in [
        ("./etc/passwd", "etc/passwd"),
        ("/lib/x/", "usr/lib/x"),
        ("lib", "lib"),
        ("./", ""),
        (".", ""),
        ("libexec/y", "libexec/y"),
    ] {
        assert_eq!(canonical(path), want);
    }
}

#[test]
fn folders_are_made_above_and_before_files() {
    assert_eq!(
        paths(&tree(&["/a/b/c", "a-b", "sbin/init"])),
        [
            "a",
            "a-b",
            "a/b",
            "a/b/c",
            "usr",
            "usr/sbin",
            "usr/sbin/init"
        ]
    );
}

#[test]
fn removing_takes_what_is_below_and_nothing_else() {
    let mut tree = tree(&["a/b", "a/c/d", "a-x", "ab"]);
    tree.remove("/a");
    assert_eq!(paths(&tree), ["a-x", "ab"]);
}

#[test]
fn a_graft_keeps_its_own_merged_usr() {
    let mut root = Tree::default();
    let mut inner = tree(&["lib/x"]);
    inner.put("lib", Node::symlink("usr/lib"));
    root.graft("services/a/rootfs", &inner);
    assert_eq!(
        paths(&root),
        [
            "services",
            "services/a",
            "services/a/rootfs",
            "services/a/rootfs/lib",
            "services/a/rootfs/usr",
            "services/a/rootfs/usr/lib",
            "services/a/rootfs/usr/lib/x",
        ]
    );
}

#[test]
fn slices_are_read_from_their_archive() {
    let path = std::env::temp_dir().join(format!("tare-tree-{}", std::process::id()));
    fs::write(&path, "0123456789").unwrap();
    let slice = Slice {
        offset: 3,
        size: 4,
        sha256: String::new(),
    };
    let content = Content::of_slice(&Arc::from(path.as_path()), &slice);
    assert_eq!(content.read().unwrap(), b"3456");
    fs::remove_file(path).unwrap();
}
