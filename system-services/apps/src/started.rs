//! Which apps were started, so that those removed from the configuration are taken down, even after a reboot.

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// A folder with an empty file for each. Processes of several apps may change it at a time.
#[derive(Debug)]
pub(crate) struct Started(PathBuf);

impl Started {
    pub(crate) fn at(folder: &Path) -> Self {
        Self(folder.to_owned())
    }

    pub(crate) fn add(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        File::create(&path)
            .and_then(|file| file.sync_all())
            .with_context(|| format!("make {}", path.display()))
    }

    pub(crate) fn remove(&self, name: &str) -> Result<()> {
        let path = self.0.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            removed => removed.with_context(|| format!("remove {}", path.display())),
        }
    }

    /// Earlier versions kept a list in one file.
    fn take_over(&self) -> Result<()> {
        let list = self.0.join("started.json");
        let Ok(bytes) = fs::read(&list) else {
            return Ok(());
        };
        let names: BTreeSet<String> = serde_json::from_slice(&bytes).unwrap_or_default();
        names.iter().try_for_each(|name| self.add(name))?;
        self.remove("started.json")
    }

    /// All of them, sorted.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.take_over()?;
        let entries =
            fs::read_dir(&self.0).with_context(|| format!("read {}", self.0.display()))?;
        let names = entries
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| !name.contains('.'));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept() {
        let folder = std::env::temp_dir().join(format!("tare-apps-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let started = Started::at(&folder);
        fs::write(folder.join("started.json"), r#"["blog"]"#).unwrap();
        for name in ["shop", "shop"] {
            started.add(name).unwrap();
        }
        assert_eq!(started.names().unwrap(), ["blog", "shop"]);
        started.remove("shop").unwrap();
        started.remove("shop").unwrap();
        assert_eq!(Started::at(&folder).names().unwrap(), ["blog"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
