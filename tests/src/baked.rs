//! An app to bake into an image, and the container images that it needs, from Debian's busybox.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::{Value, json};
use tare_image::digest;
use tare_image::progress::{Progress, Stage};
use tare_qemu::target;

use crate::debian;

/// Its page names a variable that only the machine knows. Of [`FILES`], the container has all.
const COMPOSE: &str = "\
name: shop
services:
  web:
    image: shop/web:1
    command: [/bin/busybox, sh, -c, 'echo \"baked for $$WHOM\" > /www/index.html; exec /bin/busybox httpd -f -p 8080 -h /www']
    environment: ['WHOM=${WHOM:-all}']
    env_file: [shop.env]
    volumes: ['./beside:/beside:ro']
    configs: [note]
    ports: ['80:8080']
    restart: unless-stopped
configs:
  note:
    file: note.txt
";

/// Beside the Compose file.
const FILES: [(&str, &str); 3] = [
    ("shop.env", "SAYS=a variable\n"),
    ("beside/file", "a file\n"),
    ("note.txt", "a note\n"),
];

/// The images of the archive: the app's, and one that belongs to no app.
const IMAGES: [(&str, &str); 2] = [("shop/web:1", "web"), ("shop/tool:1", "tool")];

/// Makes tar archives from equal files equal.
const TAR: [&str; 6] = [
    "--sort=name",
    "--mtime=@0",
    "--owner=0",
    "--group=0",
    "--numeric-owner",
    "--format=gnu",
];

/// Files for `BuildOptions`.
pub(crate) struct Baked {
    pub(crate) compose: PathBuf,
    /// As by `docker save`.
    pub(crate) archive: PathBuf,
}

/// Writes the files, which are the same each time.
pub(crate) fn write() -> Result<Baked> {
    let folder = target().join("baked");
    let files = folder.join("files");
    for old in ["debian", "files"] {
        let _ = fs::remove_dir_all(folder.join(old));
    }
    fs::create_dir_all(&files).with_context(|| format!("create {}", files.display()))?;
    let baked = Baked {
        compose: folder.join("compose.yaml"),
        archive: folder.join("images.tar"),
    };
    fs::write(&baked.compose, COMPOSE)?;
    fs::create_dir_all(folder.join("beside"))?;
    for (name, text) in FILES {
        fs::write(folder.join(name), text)?;
    }
    Progress::new(&target().join("log")).stage("Images to bake", |stage| {
        let root = folder.join("debian");
        debian::unpack(&root, &["busybox-static"], &[], stage)?;
        // For the page.
        fs::create_dir(root.join("www"))?;
        tar(&root, &files.join("layer.tar"), stage)?;
        save(&files)?;
        tar(&files, &baked.archive, stage)
    })?;
    Ok(baked)
}

fn tar(folder: &Path, archive: &Path, stage: &Stage) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(TAR).arg("-C").arg(folder).arg("-cf").arg(archive);
    let mut names = fs::read_dir(folder)?
        .map(|entry| Ok(entry?.file_name()))
        .collect::<Result<Vec<_>>>()?;
    names.sort();
    stage.run(tar.args(names))
}

/// Adds what `docker save` writes beside the layer.
fn save(files: &Path) -> Result<()> {
    let layer = digest::hex_of_file(&files.join("layer.tar"))?;
    let mut manifest = Vec::new();
    for (name, label) in IMAGES {
        let config = config(&layer, label).to_string();
        let file = format!("{}.json", digest::hex(config.as_bytes()));
        fs::write(files.join(&file), config)?;
        manifest.push(json!({"Config": file, "RepoTags": [name], "Layers": ["layer.tar"]}));
    }
    fs::write(
        files.join("manifest.json"),
        Value::Array(manifest).to_string(),
    )?;
    Ok(())
}

fn config(layer: &str, label: &str) -> Value {
    json!({
        "os": "linux",
        "architecture": "amd64",
        "config": {"Labels": {"which": label}},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{layer}")]},
    })
}
