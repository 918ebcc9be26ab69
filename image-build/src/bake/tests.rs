//! With Compose, skopeo and archives; no registry is asked.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;
use crate::rootfs::tree::Kind;
use crate::{cache, digest, sbom};

const COMPOSE: &str = "
x-words: &words
  command: [echo, $$HOME, '${WORD:-none}']
services:
  web:
    extends: { file: base.yaml, service: base }
    <<: *words
    image: shop/web:${TAG:-1}
    env_file: [there.env, ./here.env]
    volumes: ['./data:/data', './conf:/conf:ro']
    configs: [words]
configs:
  words:
    file: words.txt
";

/// A folder of a test, while this exists.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("tare-bake-{name}-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(folder.join("Shop")).unwrap();
        // A cache with the usual programs and packages, and no images.
        let cache = folder.join("cache");
        fs::create_dir(&cache).unwrap();
        for name in ["apt", "tools"] {
            let usual = cache::root().unwrap().join(name);
            fs::create_dir_all(&usual).unwrap();
            symlink(usual, cache.join(name)).unwrap();
        }
        Self(folder)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// An archive of `docker save` with one image of one file.
    fn archive(&self, file: &str, tags: &[&str], architecture: &str) -> PathBuf {
        let mut layer = tar::Builder::new(Vec::new());
        add(&mut layer, "hello", &[b'.'; 100_000]);
        let layer = layer.into_inner().unwrap();
        let config = json!({
            "os": "linux",
            "architecture": architecture,
            "config": {"Healthcheck": {"Test": ["CMD", "/hello"]}},
            "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", digest::hex(&layer))]},
        });
        let config = config.to_string();
        let name = format!("{}.json", digest::hex(config.as_bytes()));
        let manifest = json!([{"Config": name, "RepoTags": tags, "Layers": ["layer.tar"]}]);
        let path = self.0.join(file);
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        add(&mut archive, &name, config.as_bytes());
        add(&mut archive, "layer.tar", &layer);
        add(
            &mut archive,
            "manifest.json",
            manifest.to_string().as_bytes(),
        );
        archive.into_inner().unwrap();
        path
    }

    fn bake(&self, file: Option<PathBuf>, archives: &[PathBuf]) -> Result<Baked> {
        let options = BuildOptions {
            bake: file.into_iter().collect(),
            bake_archives: archives.to_vec(),
            ..BuildOptions::default()
        };
        let progress = Progress::new(&self.0.join("log"));
        Baked::gather(&options, &self.0.join("cache"), &progress)
    }

    /// What is wrong with a Compose file, without the lines that say where its log is.
    fn error(&self, compose: &str, archives: &[PathBuf]) -> String {
        let file = self.write("Shop/compose.yaml", compose);
        let error = self.bake(Some(file), archives).unwrap_err();
        error
            .chain()
            .skip(2)
            .take(1)
            .map(ToString::to_string)
            .collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn add(archive: &mut tar::Builder<impl std::io::Write>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    archive.append_data(&mut header, name, bytes).unwrap();
}

#[test]
fn an_app_and_the_images_of_archives_are_baked() {
    let folder = Folder::new("app");
    let archives = [
        folder.archive(
            "web.tar",
            &["docker.io/shop/web:2", "shop/other:1"],
            "amd64",
        ),
        folder.archive("tool.tar", &["localhost:5000/tool:1"], "amd64"),
    ];
    let file = folder.write("Shop/compose.yaml", COMPOSE);
    let base = "services: {base: {image: none, restart: always}}";
    folder.write("Shop/base.yaml", base);
    folder.write("Shop/.env", "TAG=2\n");
    folder.write("Shop/here.env", "HERE=1\n");
    folder.write("Shop/words.txt", "words\n");
    fs::create_dir(folder.0.join("Shop/conf")).unwrap();
    folder.write("Shop/conf/main", "conf\n");
    let baked = folder.bake(Some(file), &archives).unwrap();

    let names: Vec<&str> = baked.images.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["localhost:5000/tool:1", "shop/other:1", "shop/web:2"]
    );
    let apps: Vec<&str> = baked.apps.keys().map(String::as_str).collect();
    assert_eq!(apps, ["shop"]);
    let text: Value = serde_json::from_str(&baked.apps["shop"]).unwrap();
    let want = json!({
        "command": ["echo", "$$HOME", "${WORD:-none}"],
        "configs": [{"source": "words"}],
        "env_file": [
            {"path": "there.env", "required": true},
            {"path": "/usr/share/tare/apps/shop/here.env", "required": true},
        ],
        "image": "shop/web:2",
        "restart": "always",
        "volumes": [
            {"bind": {"create_host_path": true}, "source": "./data", "target": "/data", "type": "bind"},
            {
                "bind": {"create_host_path": true},
                "read_only": true,
                "source": "/usr/share/tare/apps/shop/conf",
                "target": "/conf",
                "type": "bind",
            },
        ],
    });
    assert_eq!(text["services"]["web"], want);
    let want = json!({"file": "/usr/share/tare/apps/shop/words.txt"});
    assert_eq!(text["configs"]["words"], want);

    let mut root = Tree::default();
    baked.add_to(&mut root).unwrap();
    for (path, want) in [
        ("conf/main", "conf\n"),
        ("here.env", "HERE=1\n"),
        ("words.txt", "words\n"),
    ] {
        let text = root
            .read(&format!("usr/share/tare/apps/shop/{path}"))
            .unwrap();
        assert_eq!(text.as_deref(), Some(want.as_bytes()), "{path}");
    }
    let files: Vec<(&str, u64)> = root
        .below("usr/share/tare/images/shop+web:2")
        .filter_map(|(path, node)| match &node.kind {
            Kind::File(content) => Some((path, content.size)),
            _ => None,
        })
        .collect();
    let web = &baked.images["shop/web:2"];
    let config = format!("usr/share/tare/images/shop+web:2/blobs/sha256/{}", web.id());
    // The configuration is untouched, the layer of 100 KB is compressed, and the manifest names both.
    assert_eq!(files.len(), 3);
    let text = root.read(&config).unwrap().unwrap();
    assert!(String::from_utf8(text).unwrap().contains("Healthcheck"));
    assert!(files.iter().all(|(_, size)| *size < 1000), "{files:?}");

    let parts = sbom::Parts {
        images: vec![web],
        ..sbom::Parts::default()
    };
    let document = sbom::document(&parts, 0, "ffff");
    let url = &document["packages"][1]["externalRefs"][0]["referenceLocator"];
    let want = format!("pkg:docker/shop/web@sha256%3A{}", web.id());
    assert_eq!(*url, want);
}

#[test]
fn what_cannot_be_baked_says_what_instead() {
    let folder = Folder::new("errors");
    let arm = folder.archive("arm.tar", &["shop/arm:1"], "arm64");
    let nameless = folder.archive("nameless.tar", &[], "amd64");
    let text = folder.write("text.tar", "text");
    let good = [folder.archive("good.tar", &["shop/good:1"], "amd64")];
    for (archives, want) in [
        (&arm, "shop/arm:1 cannot run here"),
        (
            &nameless,
            "an image in it has no name: `docker save` it by its name",
        ),
        (&text, "it is not a file of `docker save` or `podman save`"),
    ] {
        assert_eq!(folder.error("", std::slice::from_ref(archives)), want);
    }
    for (compose, want) in [
        (
            "services: {web: {image: 127.0.0.1:1/absent}}",
            "services.web.image: 127.0.0.1:1/absent:latest could not be fetched; the lines above say why. Check its name; for a \
             registry that wants a login, `docker login` here; an image that is on this machine goes into a file by \
             `docker save`, which `--bake-archive` takes",
        ),
        (
            "services: {web: {imag: shop/good:1}}",
            "Compose does not accept it; the lines above say why",
        ),
        (
            "name: my_shop\nservices: {web: {image: shop/good:1}}",
            "the app's name is that of the folder, or `name` at the top: `my_shop` is not a name: write a letter, then \
             letters, digits or `-`, all lower case, 63 at most",
        ),
        (
            "services: {web: {image: shop/good:1, pull_policy: always}}",
            "services.web.pull_policy is always: a machine pulls no image that is baked. Leave the key out",
        ),
    ] {
        assert_eq!(folder.error(compose, &good), want, "{compose}");
    }
}
