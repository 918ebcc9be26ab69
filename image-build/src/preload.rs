//! Container images made here from Debian packages, in the format of `docker save`.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::apt::Deb;
use crate::archive;
use crate::digest;
use crate::recipe::Preloaded;
use crate::rootfs::Workshop;
use crate::rootfs::tree::{Node, Tree};
use crate::text::rfc3339;

/// Makes the archive that `docker load` reads.
///
/// # Errors
/// A package or a file cannot be read.
pub(crate) fn make(
    image: &Preloaded,
    debs: &[Deb],
    workspace: &Path,
    workshop: &Workshop,
) -> Result<Vec<u8>> {
    let (tree, newest) = rootfs(image, debs, workspace, workshop)?;
    let mut layer = Vec::new();
    archive::write(&tree, newest, &mut layer)?;
    let config = serde_json::to_vec(&config(image, &layer, newest))?;
    let config_name = format!("{}.json", digest::hex(&config));
    let manifest = json!([{
        "Config": config_name,
        "RepoTags": [format!("{}:{}", image.name, image.tag)],
        "Layers": ["layer.tar"],
    }]);
    let mut save = Vec::new();
    let files = [
        (config_name.as_str(), config),
        ("layer.tar", layer),
        ("manifest.json", serde_json::to_vec(&manifest)?),
    ];
    bundle(&files, newest, &mut save)?;
    Ok(save)
}

fn rootfs(
    image: &Preloaded,
    debs: &[Deb],
    workspace: &Path,
    workshop: &Workshop,
) -> Result<(Tree, u64)> {
    let content = tare_config::service::Image::default();
    let rootfs = workshop.assemble(&content, debs, &workspace.join(&image.overlay))?;
    let mut tree = rootfs.tree;
    for applet in &image.applets {
        tree.put(&format!("bin/{applet}"), Node::symlink("busybox"));
    }
    // A container's engine provides these.
    for path in [
        "etc/hostname",
        "etc/hosts",
        "etc/resolv.conf",
        "etc/machine-id",
    ] {
        tree.remove(path);
    }
    Ok((tree, rootfs.newest))
}

/// The image configuration of the OCI image specification.
fn config(image: &Preloaded, layer: &[u8], created: u64) -> serde_json::Value {
    json!({
        "architecture": "amd64",
        "os": "linux",
        "created": rfc3339(created),
        "config": {
            "Cmd": image.command,
            "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", digest::hex(layer))] },
        "history": [{ "created": rfc3339(created), "created_by": "tare-image" }],
    })
}

fn bundle(files: &[(&str, Vec<u8>)], mtime: u64, out: impl Write) -> Result<()> {
    let mut tree = Tree::default();
    for (name, bytes) in files {
        let content = crate::rootfs::tree::Content::of_bytes(bytes.as_slice());
        tree.put(name, Node::file(0o644, content));
    }
    archive::write(&tree, mtime, out)
}
