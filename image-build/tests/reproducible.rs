//! Two builds from the same sources in different folders give the same disk, bit by bit.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use tare_image::progress::Progress;
use tare_image::{BuildOptions, build, cache, compile_init, digest, ensure_tools};

/// A folder on the cache's disk: outside this checkout, whose settings cargo would otherwise find
/// above it, and not in memory, as a folder for temporary files may be.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Leftovers in a cache do no harm.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// All programs are compiled in the same way, so one of them stands for the others.
#[test]
fn two_folders_give_one_image() -> Result<()> {
    let here = BuildOptions::default();
    let name = format!("elsewhere-{}", std::process::id());
    let scratch = Scratch(cache::root()?.join(name));
    copy_sources(&here.workspace, &scratch.0)?;
    let there = BuildOptions::of(&scratch.0);
    let with_our_programs = BuildOptions {
        programs: here.workspace.clone(),
        ..there.clone()
    };
    assert_eq!(
        hashes_of_build(&here)?,
        hashes_of_build(&with_our_programs)?
    );
    assert_eq!(hash_of_init(&here)?, hash_of_init(&there)?);
    Ok(())
}

fn hash_of_init(options: &BuildOptions) -> Result<String> {
    let progress = Progress::new(&options.workspace.join("target/log"));
    digest::hex_of_file(&compile_init(options, &progress)?)
}

/// Includes the parts, so that a difference shows where it is.
fn hashes_of_build(options: &BuildOptions) -> Result<Vec<(&'static str, String)>> {
    let progress = Progress::new(&options.workspace.join("target/log"));
    ensure_tools(false, &progress)?;
    let image = build(options, &progress)?;
    let parts = [
        ("kernel", image.kernel),
        ("system", image.system),
        ("uki", image.uki),
        ("sbom", image.sbom),
        ("disk", image.raw),
    ];
    let hash = |(name, path): (_, PathBuf)| Ok((name, digest::hex_of_file(&path)?));
    parts.into_iter().map(hash).collect()
}

/// Copies the checkout without build output and git's own files.
fn copy_sources(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(source)?, target)?;
        } else if kind.is_file() {
            fs::copy(source, target)?;
        } else if entry.file_name() != "target" && entry.file_name() != ".git" {
            copy_sources(&source, &target)?;
        }
    }
    Ok(())
}
