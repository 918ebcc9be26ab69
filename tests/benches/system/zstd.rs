//! The compressed size of a file, cached because computing it takes minutes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use tare_image::cache::write_atomic;
use tare_image::progress::Stage;

/// Above this level, each percent takes minutes.
const LEVEL: &str = "-12";

/// The compressed size of `file`, in bytes.
///
/// # Errors
/// zstd fails.
pub(crate) fn size(file: &Path, cache: &Path, stage: &Stage) -> Result<u64> {
    let known = cache.join(format!("zstd{LEVEL}-{}", stamp(file)?));
    if let Ok(text) = fs::read_to_string(&known) {
        return text
            .trim()
            .parse()
            .with_context(|| format!("read {}", known.display()));
    }
    let compressed = cache.join("compressed.zst");
    let mut zstd = Command::new("zstd");
    zstd.args([LEVEL, "-T0", "--quiet", "--force", "-o"])
        .args([&compressed, file]);
    stage.run(&mut zstd)?;
    let size = fs::metadata(&compressed)?.len();
    fs::remove_file(&compressed)?;
    write_atomic(&known, size.to_string().as_bytes())?;
    Ok(size)
}

/// Changes whenever the file does.
fn stamp(file: &Path) -> Result<String> {
    let file = fs::metadata(file).with_context(|| format!("read {}", file.display()))?;
    Ok(format!(
        "{}-{}-{}.{:09}",
        file.ino(),
        file.len(),
        file.mtime(),
        file.mtime_nsec()
    ))
}
