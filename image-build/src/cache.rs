//! The cache that all clones of this repository share: Debian packages, kernels, tools.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::fcntl::{Flock, FlockArg};

/// `$TARE_CACHE`, otherwise `$XDG_CACHE_HOME/tare`, otherwise `~/.cache/tare`; created if it does
/// not exist.
///
/// # Errors
/// If none of the three variables is set, or the folder cannot be created.
pub fn root() -> Result<PathBuf> {
    let root = chosen(|name| env::var_os(name).filter(|value| !value.is_empty()))
        .context("none of TARE_CACHE, XDG_CACHE_HOME and HOME is set")?;
    fs::create_dir_all(&root).with_context(|| format!("create cache {}", root.display()))?;
    Ok(root)
}

fn chosen(var: impl Fn(&str) -> Option<std::ffi::OsString>) -> Option<PathBuf> {
    let folder = |name: &str| var(name).map(PathBuf::from);
    folder("TARE_CACHE")
        .or_else(|| folder("XDG_CACHE_HOME").map(|base| base.join("tare")))
        .or_else(|| folder("HOME").map(|home| home.join(".cache/tare")))
}

/// Waits for and takes the lock file `path`; held until dropped, and by at most one process.
///
/// # Errors
/// If the file cannot be created or locked.
pub fn lock(path: &Path) -> Result<Flock<File>> {
    let file = File::create(path).with_context(|| format!("create lock {}", path.display()))?;
    Flock::lock(file, FlockArg::LockExclusive)
        .map_err(|(_, errno)| errno)
        .with_context(|| format!("lock {}", path.display()))
}

/// Replaces `path` in one step, so that a reader or a killed build never sees half a file.
///
/// # Errors
/// Names the file that cannot be written.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<()> {
    let partial = PathBuf::from(format!("{}.{}.partial", path.display(), std::process::id()));
    let write = || {
        File::create(&partial)?.write_all(content)?;
        fs::rename(&partial, path)
    };
    write().with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_variable_wins() {
        for (set, want) in [
            (&[("TARE_CACHE", "/t"), ("HOME", "/h")][..], Some("/t")),
            (&[("XDG_CACHE_HOME", "/x"), ("HOME", "/h")], Some("/x/tare")),
            (&[("HOME", "/h")], Some("/h/.cache/tare")),
            (&[], None),
        ] {
            let var = |name: &str| set.iter().find(|(n, _)| *n == name).map(|(_, v)| v.into());
            assert_eq!(chosen(var), want.map(PathBuf::from));
        }
    }
}
