//! Images that came with the disk image.

use crate::api::Engine;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::fs::File;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};

/// The argument that selects [`load_all`].
pub(crate) const ARGUMENT: &str = "load-images";
/// Images in the format of `docker save`.
const FOLDER: &str = "/images";
/// The engine's socket.
const SOCKET: &str = "/run/engine/docker.sock";

/// Loads every image of the disk image that the engine does not have yet.
///
/// # Errors
/// If some could not be loaded, each of which is reported.
pub(crate) fn load_all() -> Result<()> {
    let engine = Engine::new(SOCKET);
    let mut failures = 0;
    for path in archives(Path::new(FOLDER)).with_context(|| FOLDER.to_owned())? {
        match load(&engine, &path) {
            Ok(what) => eprintln!("{}: {what}", path.display()),
            Err(error) => {
                eprintln!("{}: {error:#}", path.display());
                failures += 1;
            }
        }
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

fn load(engine: &Engine, path: &Path) -> Result<&'static str> {
    let mut archive = File::open(path).context("open")?;
    let ids = ids(&archive).context("read")?;
    if !ids.is_empty() && all(&ids, |id| engine.has_image(id))? {
        return Ok("the engine has it");
    }
    archive.rewind().context("read")?;
    engine.load(&archive)?;
    Ok("loaded")
}

fn all(ids: &[String], mut has: impl FnMut(&str) -> Result<bool>) -> Result<bool> {
    for id in ids {
        if !has(id)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The ids of the images in an archive: the digests by which its manifest names configurations.
/// Empty if one has another kind of name; only loading it shows its id.
fn ids(archive: impl Read + Seek) -> Result<Vec<String>> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries_with_seek()? {
        let mut entry = entry?;
        if entry.path()?.as_os_str() == "manifest.json" {
            let mut manifest = Vec::new();
            entry.read_to_end(&mut manifest)?;
            return Ok(manifest_ids(&serde_json::from_slice(&manifest)?).unwrap_or_default());
        }
    }
    Ok(Vec::new())
}

fn manifest_ids(manifest: &Value) -> Option<Vec<String>> {
    let images = manifest.as_array()?;
    images
        .iter()
        .map(|image| digest(image["Config"].as_str()?))
        .collect()
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
    fn ids_come_from_the_manifest() {
        let hex = "0123456789abcdef".repeat(4);
        for (manifest, want) in [
            (format!(r#"[{{"Config":"{hex}.json"}}]"#), vec![hex.clone()]),
            (
                format!(r#"[{{"Config":"blobs/sha256/{hex}"}}]"#),
                vec![hex.clone()],
            ),
            (r#"[{"Config":"config.json"}]"#.to_owned(), vec![]),
            (r#"{}"#.to_owned(), vec![]),
        ] {
            assert_eq!(ids(archive(&manifest)).unwrap(), want, "{manifest}");
        }
    }
}
