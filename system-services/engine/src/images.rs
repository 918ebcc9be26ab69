//! Images that came with the disk image.

use crate::api;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use tare_engine_api::Engine;

/// The argument that selects [`load_all`].
pub(crate) const ARGUMENT: &str = "load-images";
/// Images in the format of `docker save`.
const FOLDER: &str = "/images";
/// Where the engine keeps images.
const STORE: &str = "/var/lib/docker";

/// Loads every image of the disk image that the engine does not have yet.
///
/// # Errors
/// If some could not be loaded, each of which is reported.
pub(crate) fn load_all() -> Result<()> {
    let engine = Engine::new(tare_engine_api::SOCKET);
    let (mut failures, mut loaded) = (0, false);
    for path in archives(Path::new(FOLDER)).with_context(|| FOLDER.to_owned())? {
        match load(&engine, &path) {
            Ok(Outcome::Present) => eprintln!("{}: the engine has it", path.display()),
            Ok(Outcome::Loaded) => {
                eprintln!("{}: loaded", path.display());
                loaded = true;
            }
            Err(error) => {
                eprintln!("{}: {error:#}", path.display());
                failures += 1;
            }
        }
    }
    if loaded {
        sync(STORE)?;
    }
    ensure!(failures == 0, "{failures} images could not be loaded");
    Ok(())
}

fn archives(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "tar"));
    paths.sort();
    Ok(paths)
}

/// What became of an archive.
enum Outcome {
    Present,
    Loaded,
}

fn load(engine: &Engine, path: &Path) -> Result<Outcome> {
    let mut archive = File::open(path).context("open")?;
    let names = names(&archive).context("read")?;
    if !names.is_empty() && has_all(engine, &names)? {
        return Ok(Outcome::Present);
    }
    archive.rewind().context("read")?;
    api::load(engine, &archive)?;
    Ok(Outcome::Loaded)
}

/// After a power cut, the engine may have an image but have lost its tag.
fn has_all(engine: &Engine, names: &[String]) -> Result<bool> {
    for name in names {
        if !api::has_image(engine, name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until all that was written below `folder` is on disk: the engine does not, and what it wrote last is what
/// names an image.
fn sync(folder: &str) -> Result<()> {
    let folder = File::open(folder).with_context(|| format!("open {folder}"))?;
    rustix::fs::syncfs(folder).context("write the images to disk")
}

/// The ids and tags of the images in an archive; ids are the digests by which its manifest names configurations.
/// Empty if one has another kind of name; only loading it shows its id.
fn names(archive: impl Read + Seek) -> Result<Vec<String>> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if entry.path()?.as_os_str() == "manifest.json" {
            let mut manifest = Vec::new();
            entry.read_to_end(&mut manifest)?;
            return Ok(manifest_names(&serde_json::from_slice(&manifest)?).unwrap_or_default());
        }
    }
    Ok(Vec::new())
}

fn manifest_names(manifest: &Value) -> Option<Vec<String>> {
    let mut names = Vec::new();
    for image in manifest.as_array()? {
        names.push(format!("sha256:{}", digest(image["Config"].as_str()?)?));
        let tags = image["RepoTags"].as_array().into_iter().flatten();
        names.extend(tags.filter_map(Value::as_str).map(str::to_owned));
    }
    Some(names)
}

/// The digest in `HEX.json` (Docker) or `blobs/sha256/HEX` (OCI).
fn digest(config: &str) -> Option<String> {
    let name = config.rsplit('/').next()?;
    let digest = name.strip_suffix(".json").unwrap_or(name);
    let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn archive(manifest: &str) -> Cursor<Vec<u8>> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, bytes) in [("layer.tar", "layer"), ("manifest.json", manifest)] {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, name, bytes.as_bytes())
                .unwrap();
        }
        Cursor::new(builder.into_inner().unwrap())
    }

    #[test]
    fn names_come_from_the_manifest() {
        let hex = "0123456789abcdef".repeat(4);
        let id = format!("sha256:{hex}");
        for (manifest, want) in [
            (
                format!(r#"[{{"Config":"{hex}.json","RepoTags":["a/b:latest"]}}]"#),
                vec![id.clone(), "a/b:latest".to_owned()],
            ),
            (
                format!(r#"[{{"Config":"blobs/sha256/{hex}","RepoTags":null}}]"#),
                vec![id],
            ),
            (r#"[{"Config":"config.json"}]"#.to_owned(), vec![]),
            (r#"{}"#.to_owned(), vec![]),
        ] {
            assert_eq!(names(archive(&manifest)).unwrap(), want, "{manifest}");
        }
    }
}
