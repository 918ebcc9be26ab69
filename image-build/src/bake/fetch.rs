//! Fetches images with `skopeo`, and keeps them in the cache.
//!
//! | below `images/` of the cache | what |
//! |---|---|
//! | `DIGEST/` | an image of a registry, by the digest of its manifest, or of the list that names the manifest |
//! | `HASH/` | an image of an archive, by the hash of archive and name |
//! | `names/HASH` | the digest that a name had; its age is the file's age |

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::reference::{Reference, sha256};
use super::saved::Saved;
use crate::apt::LISTS_MAX_AGE;
use crate::cache;
use crate::digest;
use crate::progress::Stage;
use crate::tools::Tools;

/// The images of the cache.
#[derive(Debug)]
pub(crate) struct Store<'a> {
    root: PathBuf,
    tools: &'a Tools,
    /// Ask registries for names even if that was done less than a day ago.
    refresh: bool,
    stage: &'a Stage,
}

/// The answer of `skopeo list-tags`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tags {
    tags: Vec<String>,
}

impl<'a> Store<'a> {
    /// # Errors
    /// The folder cannot be made.
    pub(crate) fn open(
        cache: &Path,
        tools: &'a Tools,
        refresh: bool,
        stage: &'a Stage,
    ) -> Result<Self> {
        let root = cache.join("images");
        fs::create_dir_all(root.join("names"))
            .with_context(|| format!("create {}", root.display()))?;
        Ok(Self {
            root,
            tools,
            refresh,
            stage,
        })
    }

    /// The image of this name, from its registry unless it is in the cache.
    ///
    /// # Errors
    /// The registry does not answer, does not have it, or has it for other machines.
    pub(crate) fn fetch(&self, reference: &Reference) -> Result<Saved> {
        let digest = match reference.digest() {
            Some(digest) => digest.to_owned(),
            None => self.digest(reference)?,
        };
        let source = format!("docker://{}@sha256:{digest}", reference.repository());
        self.stage.message(&reference.to_string());
        let folder = self.copy(&source, &digest)?;
        Saved::read(reference.clone(), &folder)
    }

    /// All images of an archive of `docker save`.
    ///
    /// # Errors
    /// It is not such an archive, or an image in it has no name or is for other machines.
    pub(crate) fn unpack(&self, archive: &Path) -> Result<Vec<Saved>> {
        let path = archive.to_string_lossy();
        // skopeo takes what follows as the name of an image.
        ensure!(!path.contains(':'), "a path with a colon cannot be read");
        let hash = digest::hex_of_file(archive)?;
        let from = format!("docker-archive:{path}");
        let list = self
            .stage
            .output(self.skopeo("list-tags").arg(&from))
            .context("it is not a file of `docker save` or `podman save`")?;
        let list: Tags = serde_json::from_slice(&list).context("read the names of its images")?;
        let unpack = |tag: &String| {
            let reference = Reference::parse(tag).map_err(|_| {
                anyhow::anyhow!("an image in it has no name: `docker save` it by its name")
            })?;
            let key = digest::hex(format!("{hash} {tag}").as_bytes());
            let folder = self.copy(&format!("{from}:{tag}"), &key)?;
            Saved::read(reference, &folder)
        };
        list.tags.iter().map(unpack).collect()
    }

    /// The digest that the registry has for a name. If it cannot be asked, the last one that it had.
    fn digest(&self, reference: &Reference) -> Result<String> {
        let name = reference.local();
        let path = self.root.join("names").join(digest::hex(name.as_bytes()));
        let known = fs::read_to_string(&path).ok();
        if let (Some(digest), true) = (&known, !self.refresh && is_fresh(&path)) {
            return Ok(digest.clone());
        }
        match (self.ask(&name), known) {
            (Ok(digest), _) => {
                cache::write_atomic(&path, digest.as_bytes())?;
                Ok(digest)
            }
            (Err(_), Some(digest)) => {
                let warning =
                    format!("{name}: no answer from its registry, using the image of before");
                self.stage.warn(&warning);
                Ok(digest)
            }
            (Err(error), None) => Err(error),
        }
    }

    fn ask(&self, name: &str) -> Result<String> {
        let mut inspect = self.skopeo("inspect");
        inspect.args(["--no-tags", "--format", "{{.Digest}}"]);
        let answer = self.stage.output(inspect.arg(format!("docker://{name}")))?;
        let answer = String::from_utf8_lossy(&answer);
        let digest = sha256(answer.trim());
        digest
            .map(str::to_owned)
            .with_context(|| format!("skopeo answers {answer:?}"))
    }

    /// Copies an image into the folder `name`, unless it is there.
    fn copy(&self, source: &str, name: &str) -> Result<PathBuf> {
        let folder = self.root.join(name);
        if folder.exists() {
            return Ok(folder);
        }
        let partial = self.root.join(format!("{name}.{}", std::process::id()));
        let copied = self.stage.run(
            self.skopeo("copy")
                .arg("--dest-compress")
                .arg(source)
                .arg(format!("dir:{}", partial.display())),
        );
        // Another build may have been faster; its image is the same.
        if copied.is_err() || fs::rename(&partial, &folder).is_err() {
            let _ = fs::remove_dir_all(&partial);
        }
        copied.map(|()| folder)
    }

    /// Signatures are checked as by Docker: not at all.
    fn skopeo(&self, command: &str) -> Command {
        let mut skopeo = self.tools.command("usr/bin/skopeo");
        skopeo
            .args(["--insecure-policy", "--override-os", "linux"])
            .args(["--override-arch", "amd64", "--tmpdir"])
            .arg(&self.root)
            .arg(command);
        skopeo
    }
}

fn is_fresh(path: &Path) -> bool {
    let modified = fs::metadata(path).and_then(|file| file.modified());
    let age = modified.map(|at| SystemTime::now().duration_since(at));
    age.is_ok_and(|age| age.unwrap_or_default() < LISTS_MAX_AGE)
}
